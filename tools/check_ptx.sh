#!/usr/bin/env bash
# Kernels that wait for memory move it 16 bytes at a time: the PTX of each has at least so many wide loads and stores of
# global memory. nvcc joins them only where it can prove the alignment, and says nothing where not. Every kernel is in
# one of two lists: what it must have, or why it need not; a kernel in none and a line without a kernel are errors.
#   tools/check_ptx.sh             checks the lists
#   tools/check_ptx.sh FILE...     shows what every kernel of these files, objects or PTX, has
# Needs the preset `cuda` to be built.
set -euo pipefail
cd "$(dirname "$0")/.."

objects=${EARMARK_CUDA_BUILD:-build/cuda}/CMakeFiles/earmark_kernels.dir/kernels/cuda

# file, kernel, wide loads and wide stores: what one turn of its main loop needs. A * in a name stands for anything.
expected() {
  cat <<'LIST'
*               map_kernel<4, *, float, float>                               1 1
*               map_kernel<2, *, double, double>                             1 1
*               map2_kernel<4, *, float, float>                              2 1
*               map2_kernel<2, *, double, double>                            2 1
*               map2_kernel<8, *, __nv_bfloat16, __nv_bfloat16>              2 1
elementwise     map_kernel<4, Convert<__*>, float, *>                        1 0
elementwise     map_kernel<2, Convert<*>, double, *>                         1 0
elementwise     map_kernel<4, Convert<float>, __*, float>                    0 1
elementwise     map_kernel<2, Convert<double>, *, double>                    0 1
elementwise     map_kernel<8, Convert<*>, *, *>                              1 1
pcm             map_kernel<4, Widen, short, float>                           0 1
fill            fill_kernel<16, *>                                           0 1
fill            fill_kernel<8, *>                                            0 1
fill            fill_kernel<4, *>                                            0 1
fill            fill_kernel<2, *>                                            0 1
random_fill     random_fill_kernel<*>                                        0 1
reduce          sum_rows_kernel<4, float>                                    2 0
reduce          sum_rows_kernel<2, double>                                   2 0
reduce          repeat_kernel<4, float>                                      0 1
reduce          repeat_kernel<2, double>                                     0 1
permute         gather_kernel<Vector<*> >                                    1 1
optimizer       adam_kernel<*>                                               4 3
optimizer       square_sum_kernel<*>                                         1 0
lamb            moments_kernel<*>                                            4 2
lamb            values_kernel<*>                                             3 1
normalize       l2_normalize_kernel<4, float>                                2 1
normalize       l2_normalize_kernel<2, double>                               2 1
normalize       l2_normalize_backward_kernel<4, float>                       4 1
normalize       l2_normalize_backward_kernel<2, double>                      4 1
*               channel_sums_kernel<4, *Terms<float, 4> >                    4 0
*               channel_sums_kernel<2, *Terms<double, 2> >                   4 0
*               channel_sums_kernel<8, *Terms<__*, 8> >                      4 0
batch_norm      forward_kernel<float, 4>                                     4 4
batch_norm      forward_kernel<double, 2>                                    4 4
batch_norm      forward_kernel<__nv_bfloat16, 8>                             4 4
batch_norm_backward  input_gradient_kernel<float, 4>                         4 2
batch_norm_backward  input_gradient_kernel<double, 2>                        4 2
batch_norm_backward  input_gradient_kernel<__nv_bfloat16, 8>                 4 2
*               sample_sums_kernel<4, MomentTerms<float, 4> >                4 0
*               sample_sums_kernel<2, MomentTerms<double, 2> >               4 0
*               sample_sums_kernel<8, MomentTerms<__*, 8> >                  4 0
*               sample_sums_kernel<4, GradientTerms<float, 4> >              6 0
*               sample_sums_kernel<2, GradientTerms<double, 2> >             6 0
*               sample_sums_kernel<8, GradientTerms<__*, 8> >                8 0
layer_norm      forward_kernel<float, 4>                                     4 4
layer_norm      forward_kernel<double, 2>                                    4 4
layer_norm      forward_kernel<__nv_bfloat16, 8>                             4 4
layer_norm_backward  backward_kernel<float, 4>                               4 2
layer_norm_backward  backward_kernel<double, 2>                              4 2
layer_norm_backward  backward_kernel<__nv_bfloat16, 8>                       4 2
conv_epilogue   conv_epilogue_kernel<float, 4>                               4 4
conv_epilogue   conv_epilogue_kernel<double, 2>                              4 4
conv_epilogue   conv_epilogue_kernel<__*, 8>                                 4 4
grouped_linear  grouped_product_kernel<float, *>                             2 1
grouped_linear  grouped_product_kernel<double, *>                            2 2
nt_xent         nt_xent_kernel<*>                                            2 0
nt_xent_backward  nt_xent_gradient_kernel<float, *>                          3 2
nt_xent_backward  nt_xent_gradient_kernel<double, *>                         3 4
nt_xent_backward  add_parts_kernel<*>                                        1 1
spectral_temporal_attention  forward_kernel<4, float, (Prologue)0>           8 8
spectral_temporal_attention  forward_kernel<4, float, (Prologue)1>           8 8
spectral_temporal_attention  forward_kernel<4, float, (Prologue)2>           16 8
spectral_temporal_attention  forward_kernel<8, __nv_bfloat16, (Prologue)0>   4 4
spectral_temporal_attention  forward_kernel<8, __nv_bfloat16, (Prologue)1>   4 4
spectral_temporal_attention  forward_kernel<8, __nv_bfloat16, (Prologue)2>   8 4
spectral_temporal_attention_backward  backward_kernel<4, float, (Prologue)0>  8 4
spectral_temporal_attention_backward  backward_kernel<4, float, (Prologue)1>  8 4
spectral_temporal_attention_backward  backward_kernel<4, float, (Prologue)2>  12 4
spectral_temporal_attention_backward  backward_kernel<8, __nv_bfloat16, (Prologue)0>  4 2
spectral_temporal_attention_backward  backward_kernel<8, __nv_bfloat16, (Prologue)1>  4 2
spectral_temporal_attention_backward  backward_kernel<8, __nv_bfloat16, (Prologue)2>  6 2
mix             energy_kernel                                                2 0
mix             add_noise_kernel                                             2 1
mix             peak_kernel                                                  1 0
mix             scale_to_peak_kernel                                         1 1
reverb          pad_kernel                                                   0 1
reverb          keep_kernel                                                  0 1
equalize        equalize_kernel                                              1 1
spectrogram     window_kernel                                                1 1
spectrogram_segments cut_kernel<(FeatureOptions::Normalization)1>            1 0
spectrogram_segments cut_kernel<(FeatureOptions::Normalization)2>            1 0
maximum         largest_kernel                                               1 0
spec_augment    mask_kernel                                                  1 0
inner_product   scan_kernel<4, float>                                        4 0
inner_product   scan_kernel<8, __half>                                       2 0
inner_product   scan_kernel<16, signed char>                                 1 0
inner_product   gathered_kernel<float>                                       2 0
inner_product   gathered_kernel<__half>                                      3 0
inner_product   gathered_kernel<signed char>                                 5 0
inner_product   widen_kernel<*>                                              0 1
gathered_topk   gathered_topk_kernel<float>                                  5 0
gathered_topk   gathered_topk_kernel<__half>                                 6 0
gathered_topk   gathered_topk_kernel<signed char>                            8 0
score           score_kernel<float>                                          4 0
score           score_kernel<__half>                                         6 0
score           score_kernel<signed char>                                    10 0
vote            place_kernel                                                 0 1
vote            first_kernel                                                 1 0
vote            count_kernel                                                 1 0
LIST
}

# file, kernel: why it needs none. Scalar twins stand beside most of the kernels above.
excused() {
  cat <<'LIST'
*               map_kernel<1, *>                           for what is not aligned for 16 bytes
*               map2_kernel<1, *>                          for what is not aligned for 16 bytes
fill            fill_kernel<1, *>                          for what is not aligned for 16 bytes
reduce          repeat_kernel<1, *>                        for columns that are no multiple of 16 bytes
reduce          sum_rows_kernel<1, *>                      for columns that are no multiple of 16 bytes
permute         gather_kernel<unsigned *>                  for an innermost axis that is no multiple of 16 bytes
normalize       l2_normalize*kernel<1, *>                  for rows that are no multiple of 16 bytes
*               channel_sums_kernel<1, *>                  for channels that are no multiple of 16 bytes
batch_norm      forward_kernel<*, 1>                       for channels that are no multiple of 16 bytes
batch_norm_backward  input_gradient_kernel<*, 1>           for channels that are no multiple of 16 bytes
*               sample_sums_kernel<1, *>                   for samples that are no multiple of 16 bytes
layer_norm      forward_kernel<*, 1>                       for samples that are no multiple of 16 bytes
layer_norm_backward  backward_kernel<*, 1>                 for samples that are no multiple of 16 bytes
conv_epilogue   conv_epilogue_kernel<*, 1>                 for channels that are no multiple of 16 bytes
spectral_temporal_attention  forward_kernel<1, *>          for channels that are no multiple of 16 bytes
spectral_temporal_attention  forward_kernel<4, __nv_bfloat16, *>  for slabs of 4 bf16 channels, 8 bytes
spectral_temporal_attention_backward  backward_kernel<1, *>  for channels that are no multiple of 16 bytes
spectral_temporal_attention_backward  backward_kernel<4, __nv_bfloat16, *>  for slabs of 4 bf16 channels, 8 bytes
inner_product   scan_kernel<1, *>                          for dimensions that are no multiple of 16 bytes
permute         transpose_kernel<*>                        turned in shared memory element by element
spectrogram_segments cut_kernel<(FeatureOptions::Normalization)0>  turned in shared memory element by element
spectrogram_segments cut_kernel<(FeatureOptions::Normalization)3>  turned in shared memory element by element
spectrogram     mel_kernel<*>                              rows of an odd number of bins, in L2, turned in shared memory
reverb          multiply_kernel                            rows of an odd number of bins, in L2
hash            *_kernel<*>                                bound by shuffles, a lane has every 32nd element
probe           probe_kernel<*>                            bound by the latency of a warp
inner_product   merge_kernel                               bound by the latency of a warp
gather          limit_kernel                               buckets lie anywhere: words one by one
gather          gather_rows_kernel                         buckets lie anywhere: words one by one
batch_norm      affine_kernel<*>                           a number for each channel
batch_norm      fold_kernel<*>                             a number for each channel
batch_norm      moments_kernel<*>                          a number for each channel
batch_norm      own_moments_kernel<*>                      a number for each channel
batch_norm      merge_kernel<*>                            a few numbers for each channel
batch_norm_backward  parameter_gradients_kernel<*>         a number for each channel
layer_norm      moments_kernel<*>                          a number for each sample
layer_norm_backward  gradient_means_kernel<*>              a number for each sample
layer_norm_backward  parameter_gradients_kernel<*>         a number for each element of a sample and part
conv_epilogue   bias_kernel<*>                             a number for each channel
reduce          sum_parts_kernel<*>                        a number for each column and part
spectral_temporal_attention_backward  add_shares_kernel<*>  a number for each weight and sample
nt_xent         nt_xent_rows_kernel<*>                     a few numbers for each anchor
nt_xent         nt_xent_mean_kernel<*>                     two numbers for each anchor
optimizer       schedule_kernel                            three numbers
lamb            schedule_kernel                            three numbers
lamb            ratio_kernel<*>                            two numbers for each piece of a layer
optimizer       add_up_kernel                              a number for each part
optimizer       gate_kernel<*>                             one number
LIST
}

# Of each kernel in the file $1: demangled name, wide loads, wide stores, other loads, other stores; tab-separated.
accesses() {
  tools/ptx_of.sh "$1" | awk '
    function finish() {
      if (kernel != "") printf "%s\t%d\t%d\t%d\t%d\n", kernel, wide["ld"], wide["st"], narrow["ld"], narrow["st"]
    }
    /\.entry/ {
      finish()
      kernel = $0; sub(/.*\.entry[ \t]+/, "", kernel); sub(/[^A-Za-z0-9_$].*/, "", kernel)
      split("", wide); split("", narrow)
    }
    # Without a space in its name an access goes where its address says: here to global memory, from where the
    # address was read.
    /(^|[ \t])(ld|st)\.(global|v[24]\.|[bfsu][0-9])/ {
      operation = $0 ~ /(^|[ \t])ld\./ ? "ld" : "st"
      if ($0 ~ /\.v4\.[a-z]*32|\.v2\.[a-z]*64|\.b128/) ++wide[operation]; else ++narrow[operation]
    }
    END { finish() }' |
    tools/kernel_names.sh
}

if [[ $# -gt 0 ]]; then
  for file in "$@"; do
    echo "$file: kernel, wide loads, wide stores, other loads, other stores"
    accesses "$file"
  done
  exit 0
fi

bad=0
complain() {
  echo "check_ptx: $1" >&2
  bad=1
}

# Both lists as: stem, kernel, loads, stores; tab-separated.
rules() {
  expected | sed -E 's/^([^ ]+) +(.*[^ ]) +([0-9]+) ([0-9]+)$/\1\t\2\t\3\t\4/'
  excused | sed -E 's/^([^ ]+) +([^ ].*[^ ])  +([^ ].*)$/\1\t\2\t0\t0/'
}
mapfile -t lines < <(rules)
used=()

# check_kernel STEM KERNEL LOADS STORES: one line of the lists must name it.
check_kernel() {
  local i stem pattern loads stores named=0
  for i in "${!lines[@]}"; do
    IFS=$'\t' read -r stem pattern loads stores <<<"${lines[i]}"
    # shellcheck disable=SC2053  # they are patterns
    [[ $1 == $stem && $2 == $pattern ]] || continue
    used[i]=1
    named=$((named + 1))
    [[ $3 -ge $loads && $4 -ge $stores ]] ||
      complain "$1.cu, $2: $3 loads and $4 stores of 16 bytes, expected at least $loads and $stores"
  done
  case $named in
    0) complain "$1.cu, $2: in neither list: say how many wide loads and stores it must have, or why it need have none" ;;
    1) ;;
    *) complain "$1.cu, $2: in $named lines of the lists" ;;
  esac
}

for file in kernels/cuda/*.cu; do
  stem=$(basename "$file" .cu)
  if [[ ! -f $objects/$stem.cu.o ]]; then
    complain "$objects/$stem.cu.o is missing: build the preset 'cuda' first"
    continue
  fi
  while IFS=$'\t' read -r kernel loads stores _; do
    check_kernel "$stem" "$kernel" "$loads" "$stores"
  done < <(accesses "$objects/$stem.cu.o")
done
for i in "${!lines[@]}"; do
  [[ -n ${used[i]:-} ]] || complain "no kernel is '${lines[i]//$'\t'/ }' any more: correct the lists"
done

exit "$bad"
