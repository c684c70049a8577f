#!/usr/bin/env bash
# Kernels that wait for memory move it 16 bytes at a time: the PTX of each kernel listed here has at least so many wide
# loads and stores of global memory. nvcc joins them only where it can prove the alignment, and says nothing where not.
#   tools/check_ptx.sh             checks the list
#   tools/check_ptx.sh FILE.ptx... shows what every kernel of these files has
# Needs the preset `cuda` to be built.
set -euo pipefail
cd "$(dirname "$0")/.."

ptx=${EARMARK_CUDA_BUILD:-build/cuda}/CMakeFiles/earmark_ptx.dir/kernels/cuda

# file, kernel, wide loads and wide stores: what one turn of its main loop needs. transpose_kernel is not here: its tiles
# are turned in shared memory, element by element.
expected() {
  cat <<'LIST'
elementwise     map2_kernel<4, Add, float, float>                            2 1
elementwise     map2_kernel<8, Add, __nv_bfloat16, __nv_bfloat16>            2 1
elementwise     map2_kernel<4, ReluGradient, float, float>                   2 1
elementwise     map_kernel<4, Relu, float, float>                            1 1
elementwise     map_kernel<4, Elu, float, float>                             1 1
elementwise     map_kernel<2, Relu, double, double>                          1 1
elementwise     map_kernel<4, Convert<__nv_bfloat16>, float, __nv_bfloat16>  1 0
elementwise     map_kernel<4, Convert<float>, __nv_bfloat16, float>          0 1
elementwise     map_kernel<8, Convert<__half>, __nv_bfloat16, __half>        1 1
residual        map2_kernel<4, AddRelu, float, float>                        2 1
residual        map2_kernel<4, AddReluGradient, float, float>                2 1
residual        map2_kernel<8, AddRelu, __nv_bfloat16, __nv_bfloat16>        2 1
residual        map2_kernel<8, AddReluGradient, __nv_bfloat16, __nv_bfloat16>  2 1
grouped_linear  map2_kernel<4, EluGradient, float, float>                    2 1
fill            fill_kernel<4, unsigned int>                                 0 1
fill            fill_kernel<16, unsigned char>                               0 1
reduce          sum_rows_kernel<4, float>                                    2 0
reduce          repeat_kernel<4, float>                                      0 1
optimizer       adam_kernel<float>                                           4 3
optimizer       square_sum_kernel<float>                                     1 0
normalize       l2_normalize_kernel<4, float>                                2 1
normalize       l2_normalize_backward_kernel<4, float>                       4 1
permute         gather_kernel<Vector<unsigned int, 4> >                      1 1
permute         gather_kernel<Vector<unsigned short, 8> >                    1 1
batch_norm      channel_sums_kernel<4, MomentTerms<float, 4> >               4 0
batch_norm      forward_kernel<float, 4>                                     4 4
batch_norm      channel_sums_kernel<8, MomentTerms<__nv_bfloat16, 8> >       4 0
batch_norm      forward_kernel<__nv_bfloat16, 8>                             4 4
batch_norm_backward  channel_sums_kernel<4, GradientTerms<float, 4> >        4 0
batch_norm_backward  input_gradient_kernel<float, 4>                         4 2
batch_norm_backward  channel_sums_kernel<8, GradientTerms<__nv_bfloat16, 8> >  4 0
batch_norm_backward  input_gradient_kernel<__nv_bfloat16, 8>                 4 2
conv_epilogue   conv_epilogue_kernel<float, 4>                               4 4
conv_epilogue   conv_epilogue_kernel<__nv_bfloat16, 8>                       4 4
pcm             map_kernel<4, Widen, short, float>                           0 1
inner_product   scan_kernel<4, float>                                        4 0
inner_product   scan_kernel<8, __half>                                       2 0
inner_product   scan_kernel<16, signed char>                                 1 0
spectral_temporal_attention           forward_kernel<4, float, (Prologue)0>   8 8
spectral_temporal_attention           forward_kernel<4, float, (Prologue)1>   8 8
spectral_temporal_attention           forward_kernel<4, float, (Prologue)2>   16 8
spectral_temporal_attention           forward_kernel<8, __nv_bfloat16, (Prologue)0>   4 4
spectral_temporal_attention           forward_kernel<8, __nv_bfloat16, (Prologue)1>   4 4
spectral_temporal_attention           forward_kernel<8, __nv_bfloat16, (Prologue)2>   8 4
spectral_temporal_attention_backward  backward_kernel<4, float, (Prologue)0>  8 4
spectral_temporal_attention_backward  backward_kernel<4, float, (Prologue)1>  8 4
spectral_temporal_attention_backward  backward_kernel<4, float, (Prologue)2>  12 4
spectral_temporal_attention_backward  backward_kernel<8, __nv_bfloat16, (Prologue)0>  4 2
spectral_temporal_attention_backward  backward_kernel<8, __nv_bfloat16, (Prologue)1>  4 2
spectral_temporal_attention_backward  backward_kernel<8, __nv_bfloat16, (Prologue)2>  6 2
LIST
}

# Of each kernel in the PTX file $1: demangled name, wide loads, wide stores, other loads, other stores; tab-separated.
accesses() {
  awk '
    function finish() {
      if (kernel != "") printf "%s\t%d\t%d\t%d\t%d\n", kernel, wide["ld"], wide["st"], narrow["ld"], narrow["st"]
    }
    /\.entry/ {
      finish()
      kernel = $0; sub(/.*\.entry[ \t]+/, "", kernel); sub(/[^A-Za-z0-9_$].*/, "", kernel)
      split("", wide); split("", narrow)
    }
    /(ld|st)\.global/ {
      operation = $0 ~ /ld\.global/ ? "ld" : "st"
      if ($0 ~ /\.v4\.[a-z]*32|\.v2\.[a-z]*64|\.b128/) ++wide[operation]; else ++narrow[operation]
    }
    END { finish() }' "$1" |
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

while read -r stem rest; do
  stores=${rest##* }
  rest=${rest% *}
  loads=${rest##* }
  kernel=$(sed -E 's/ +[0-9]+$//' <<<"$rest")
  file=$ptx/$stem.ptx
  if [[ ! -f $file ]]; then
    complain "$file is missing: build the preset 'cuda' first"
    continue
  fi
  found=$(accesses "$file" | awk -F'\t' -v kernel="$kernel" '$1 == kernel { print $2, $3 }')
  if [[ -z $found ]]; then
    complain "$stem.cu has no kernel $kernel any more: correct the list in tools/check_ptx.sh"
    continue
  fi
  read -r has_loads has_stores <<<"$found"
  [[ $has_loads -ge $loads && $has_stores -ge $stores ]] ||
    complain "$stem.cu, $kernel: $has_loads loads and $has_stores stores of 16 bytes, expected at least $loads and $stores"
done < <(expected)

exit "$bad"
