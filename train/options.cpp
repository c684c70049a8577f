#include "train/options.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <numbers>
#include <utility>

#include "kernels/error.h"
#include "nn/encoder.h"

namespace earmark::train {

namespace {

constexpr double kManySteps = 1e9;
constexpr double kLambEpsilon = 1e-6;  // TensorFlow Addons' and NAFP's
constexpr double kUnlimited = std::numeric_limits<double>::infinity();

std::vector<std::pair<std::string, std::string>> named_by_themselves(const std::vector<std::string>& names) {
  std::vector<std::pair<std::string, std::string>> choices;
  std::transform(names.begin(), names.end(), std::back_inserter(choices),
                 [](const std::string& name) { return std::pair(name, name); });
  return choices;
}

void read_features(Section section, FeatureOptions& options) {
  section.read("sample_rate", options.sample_rate, {4000, 192000}, "Hz", "Rate that everything is decoded to.");
  section.read("n_fft", options.n_fft, {16, 16384}, "samples", "Window and length of the Fourier transform.");
  section.read("hop", options.hop, {1, 16384}, "samples", "From one frame to the next.");
  section.read("mel_bands", options.mel_bands, {1, 1024}, "", "Bands of the mel filter bank, F.");
  section.read("f_min", options.f_min, {0, 96000}, "Hz", "Lower end of the lowest band.");
  section.read("f_max", options.f_max, {1, 96000}, "Hz", "Upper end of the highest band.");
  section.read("frames", options.frames, {1, 4096}, "frames", "Length of a segment, T.");
  section.read("hop_frames", options.hop_frames, {1, 4096}, "frames", "From one fingerprint to the next.");
  section.read_choice("normalization", options.normalization, normalization_names(),
                      "Of a segment: none; mean removed; decibels relative to the maximum, floored, in -1..1; "
                      "batch_maximum: the maximum of the batch, or of the recording, removed.");
  section.read("floor_db", options.floor_db, {-200, -1}, "dB", "Floor of max_relative.");
  section.read_choice("mel_scale", options.mel_scale, mel_scale_names(),
                      "HTK's, or Slaney's with triangles of area 1 (librosa's).");
  section.read_choice("compression", options.compression, compression_names(),
                      "Decibels of the bands' power, or log10(0.06 + magnitude) (NAFP's).");
}

/// Those that only the attention encoder has.
void read_attention(Section section, nn::EncoderOptions& options) {
  for (const char* key : {"attention", "attention_logits", "attention_scale", "attention_init", "attention_deviation",
                          "convolution_init"}) {
    if (!nn::has_attention(options) && section.has(key)) {
      section.reject(key, "an encoder of type \"" + options.type + "\" has no such option");
    }
  }
  if (!nn::has_attention(options)) {
    return;
  }
  section.read_choice("attention", options.attention, nn::attention_names(), "Modules per residual block.");
  section.read_choice("attention_logits", options.attention_logits, nn::attention_logits_names(),
                      "Squashed by tanh or plain.");
  section.read_choice("attention_scale", options.attention_scale, nn::attention_scale_names(),
                      "Gain of the gate: 100, or the map's area F*T.");
  section.read_choice("attention_init", options.attention_init, nn::attention_init_names(),
                      "Starting weights of attention; zero with area makes every gate start at exactly 1.");
  section.read("attention_deviation", options.attention_deviation, {0, 100}, "", "Of attention_init normal.");
  section.read_choice("convolution_init", options.convolution_init, nn::convolution_init_names(),
                      "Starting weights of convolutions: He normal, or uniform as PyTorch's default.");
}

void read_encoder(Section section, nn::EncoderOptions& options) {
  section.read_choice(
      "type", options.type, named_by_themselves(nn::encoder_names()),
      "Kind of encoder: the paper's, or NAFP's (Chang et al., ICASSP 2021), which has none of the keys of "
      "attention and convolution_init.");
  options = nn::default_encoder_options(options.type);
  section.read(
      "width", options.width, {1, 256}, "channels",
      "Of the front end; the last block has 32 times as many. With nafp 128 unless set, of the first two blocks; "
      "the last two have 8 times as many.");
  read_attention(section, options);
  section.read("embedding", options.embedding, {1, 4096}, "", "Elements of a fingerprint and groups of the head.");
  section.read("head_hidden", options.head_hidden, {1, 4096}, "", "Hidden units of each group.");
  section.read(
      "whitening", options.whitening,
      "Multiply fingerprints so that their elements count the less the more distortions move them (within-class "
      "covariance normalisation): estimated before each validation and at the end, not trained.");
}

void read_data(Section section, DataOptions& options) {
  section.read_paths("music", options.music, "Music to train on: files, folders or lists.");
  section.read_path("fma", options.fma, "FMA as downloaded: the folder that holds fma_<subset> and fma_metadata.");
  section.read_choice("fma_subset", options.fma_subset, named_by_themselves({"small", "medium", "large", "full"}),
                      "Which download.");
  section.read_choice("fma_split", options.fma_split, named_by_themselves({"", "training", "validation", "test"}),
                      "Of the catalogue; empty: all.");
  section.read_paths("noise", options.noise, "Recordings of noise: files, folders or lists.");
  section.read_paths("speech", options.speech, "Recordings of speech, mixed to babble.");
  section.read("babble_speakers", options.babble_speakers, {1, 64}, "voices", "Voices in babble.");
  section.read("colored_noise", options.colored_noise, "Generated noise: any of white, pink, brown.");
  section.read_paths("rirs", options.rirs, "Recorded room impulse responses: files, folders or lists.");
  section.read("rooms", options.rooms, {0, 100000}, "rooms", "Simulated rooms.");
  section.read_interval("room_rt60_s", options.room_range.rt60_min_s, options.room_range.rt60_max_s, {0.05, 3}, "s",
                        "Reverberation time of simulated rooms.");
  section.read_interval("room_drr_db", options.room_range.drr_min_db, options.room_range.drr_max_db, {-15, 20}, "dB",
                        "Direct-to-reverberant ratio of simulated rooms.");
  section.read_path("store", options.store, "Folder for the decoded music; shared between runs.");
  section.read_choice("channel", options.channel, {{"mean", data::Channel::mean}, {"left", data::Channel::left}},
                      "What becomes of several channels.");
  section.read("peak_normalize", options.peak_normalize, "Scales each file to a largest sample of 1.");
  section.read("workers", options.workers, {0, 256}, "threads", "Threads that make batches ahead of training.");
  section.read("ahead", options.ahead, {1, 1024}, "batches", "Batches kept ready.");
}

void read_masks(Section section, data::AugmentOptions& options) {
  using MaskFill = data::AugmentOptions::MaskFill;
  section.read("time_masks", options.time_masks, {0, 100}, "masks", "SpecAugment.");
  section.read("time_mask_frames", options.time_mask_frames, {1, 4096}, "frames", "Widest mask in time.");
  section.read("frequency_masks", options.frequency_masks, {0, 100}, "masks", "SpecAugment.");
  section.read("frequency_mask_bands", options.frequency_mask_bands, {1, 1024}, "bands", "Widest mask in frequency.");
  section.read("frequency_mask_least_bands", options.frequency_mask_least_bands, {0, 1024}, "bands",
               "Narrowest mask in frequency.");
  section.read("cutouts", options.cutouts, {0, 100}, "masks", "Rectangles that are cut out of a segment.");
  section.read_interval("cutout_share", options.cutout_least, options.cutout_most, {0, 1}, "",
                        "Sides of those, as a share of the segment's bands and of its frames.");
  section.read_choice("mask_fill", options.mask_fill, {{"mean", MaskFill::mean}, {"zero", MaskFill::zero}},
                      "What masks are filled with: the segment's mean, or 0.");
  section.read("mask_anchors", options.mask_anchors, "Masks on anchors too, not on positives alone.");
  section.read("mask_batch_alike", options.mask_batch_alike, "The same masks on all segments of a batch.");
}

void read_pairs(Section section, data::PairOptions& options) {
  using Draws = data::PairOptions::Draws;
  using Reverb = data::PairOptions::Reverb;
  double shift_ms = options.shift_s * 1e3;
  section.read("count", options.pairs, {2, 65536}, "pairs", "Pairs in a batch.");
  section.read_choice("draws", options.draws, {{"per_file", Draws::per_file}, {"uniform_time", Draws::uniform_time}},
                      "One segment per file and epoch, or every moment of the collection equally likely.");
  section.read(
      "per_track", options.per_track, {1, 65536}, "pairs",
      "Pairs of a batch that come from one track; of the last one those that are left. Places of the same music "
      "are the hardest to tell apart.");
  section.read("alike", options.alike, {0, 65535}, "pairs",
               "Of these, so many are at the places of the track that sound most like the first one; less than "
               "per_track.");
  double apart_ms = options.apart_s * 1e3;
  section.read("apart_ms", apart_ms, {0, 1e6}, "ms",
               "Segments of a batch lie at least so far apart in a track; 0: the length of a segment.");
  options.apart_s = apart_ms / 1e3;
  section.read("shift_ms", shift_ms, {0, 5000}, "ms", "The positive is shifted by up to this, either way.");
  options.shift_s = shift_ms / 1e3;
  section.read("silence_mean_square", options.silence_mean_square, {0, 1}, "",
               "Segments with no more power than this are drawn again.");
  section.read("noise_probability", options.noise_probability, {0, 1}, "", "Share of positives with noise.");
  section.read("reverb_probability", options.reverb_probability, {0, 1}, "", "Share of positives with reverb.");
  section.read("both_probability", options.both_probability, {0, 1}, "", "Share of positives with both.");
  section.read_interval("snr_db", options.snr_min_db, options.snr_max_db, {-40, 80}, "dB", "Signal-to-noise ratio.");
  double rir_ms = options.rir_s * 1e3;
  section.read_choice("reverb", options.reverb, {{"linear", Reverb::linear}, {"circular", Reverb::circular}},
                      "With a second of context before the segment, noise in the room too; or the segment with its "
                      "noise, in a circle (NAFP's).");
  section.read("rir_ms", rir_ms, {0, 1e5}, "ms", "Room responses are cut off so long after the direct path; 0: whole.");
  options.rir_s = rir_ms / 1e3;
  section.read("gain_db", options.augment.gain_db, {0, 60}, "dB", "Positives get a gain of up to this, either way.");
  section.read("band_limit_probability", options.augment.band_limit_probability, {0, 1}, "",
               "Share of positives with a random low-pass, high-pass or telephone band.");
  read_masks(section, options.augment);
}

void read_optimizer(Section section, OptimizerOptions& optimizer) {
  section.read_choice(
      "optimizer", optimizer.kind, {{"adam", OptimizerKind::adam}, {"lamb", OptimizerKind::lamb}},
      "Adam, or LAMB (You et al., ICLR 2020), whose steps are as long as each layer asks for: for large "
      "batches.");
  optimizer.epsilon = optimizer.kind == OptimizerKind::lamb ? kLambEpsilon : optimizer.epsilon;
  section.read("learning_rate", optimizer.learning_rate, {0, 10}, "", "At its highest.");
  section.read_choice("schedule", optimizer.schedule, {{"constant", Schedule::constant}, {"cosine", Schedule::cosine}},
                      "Of the learning rate after the warm-up.");
  section.read("warmup_steps", optimizer.warmup_steps, {0, kManySteps}, "steps", "Linear rise of the learning rate.");
  section.read("final_fraction", optimizer.final_fraction, {0, 1}, "", "Of the learning rate, where the cosine ends.");
  section.read("beta1", optimizer.beta1, {0, 0.999999}, "", "Of the mean of gradients.");
  section.read("beta2", optimizer.beta2, {0, 0.9999999}, "", "Of the mean of their squares.");
  section.read("epsilon", optimizer.epsilon, {1e-30, 1}, "",
               "Beside the root of that mean. With lamb 1e-6 unless set.");
  section.read("weight_decay", optimizer.weight_decay, {0, 10}, "",
               "Decoupled from the gradient (AdamW); with lamb, part of the step that is scaled; 0: none.");
  section.read("clip_norm", optimizer.clip_norm, {0, kUnlimited}, "", "Largest norm of all gradients; 0: no clipping.");
}

void read_train(Section section, TrainOptions& options) {
  section.read("seed", options.seed, {0, 9007199254740992.0}, "", "Everything random follows from it.");
  section.read_path("initial_model", options.initial_model,
                    "Model whose weights the run begins with (fine-tuning); features and encoder must be those of this "
                    "configuration. Empty: fresh weights.");
  section.read("steps", options.steps, {1, kManySteps}, "steps", "Optimiser steps of the whole run.");
  section.read("time_budget_minutes", options.time_budget_minutes, {0, kManySteps}, "min",
               "When above 0, ends the run and drives the schedule instead of steps; not reproducible.");
  section.read("temperature", options.temperature, {0.01, 10}, "", "Of NT-Xent.");
  section.read_choice(
      "precision", options.precision,
      {{"fp32", Precision::fp32},
       {"tf32", Precision::tf32},
       {"bf16_products", Precision::bf16_products},
       {"bf16", Precision::bf16}},
      "tf32: faster convolutions on GPUs. bf16_products: convolutions round their operands to 8 bits on "
      "CPUs that multiply these faster (AMX, AVX512_BF16). Elsewhere both are fp32. bf16: activations stored with 8 "
      "bits; faster on GPUs, slower elsewhere. Weights and checkpoints are fp32 always.");
  section.read(
      "cuda_graph", options.cuda_graph,
      "On a GPU, record the step once and launch it as a whole: the same numbers with less for the host to do.");
  section.read("micro_batch", options.micro_batch, {0, 65536}, "pairs",
               "Keep the activations of so many pairs of a process at a time, and forward all others twice: memory for "
               "time. Pairs are told apart from all of the batch; batch normalisation is over a micro-batch. 0: all.");
  section.read("sync_batch_norm", options.sync_batch_norm,
               "Of several processes: batch normalisation over the pairs of all of them, as one process has it; "
               "otherwise each process normalises its own.");
  section.read(
      "reduction_groups", options.reduction_groups, {1, 65536}, "groups",
      "A power of two that divides pairs.count. Above 1, any number of processes that divides it trains the "
      "same model, bit for bit: sums over a batch are taken group by group, then in pairs. On the CPU, in fp32.");
  section.read("shard_optimizer", options.shard_optimizer,
               "Of several processes: each keeps its share of the optimiser's moments alone, and sends the others what "
               "it has moved (ZeRO, stage 1): the same bits with less memory. Checkpoints are the same.");
  section.read("rank_timeout_s", options.rank_timeout_s, {0.1, 1e6}, "s",
               "How long a process waits for one that does not answer before it gives up.");
  read_optimizer(section, options.optimizer);
  section.read("whitening_pairs", options.whitening.pairs, {1, 1e7}, "pairs",
               "Of clean and distorted segments, from which the whitening of an encoder that has one is estimated.");
  section.read("whitening_floor", options.whitening.floor, {1e-6, 1e6}, "",
               "Of the mean variance of a fingerprint's elements, added to all of them before they are equalised.");
  section.read("log_interval", options.log_interval, {1, kManySteps}, "steps", "Between scalars for TensorBoard.");
  section.read("checkpoint_interval", options.checkpoint_interval, {1, kManySteps}, "steps", "Between checkpoints.");
  section.read("keep_checkpoints", options.keep_checkpoints, {1, 1e6}, "", "The last ones; the best model stays too.");
}

void read_validation(Section section, ValidationOptions& options) {
  section.read_paths("music", options.music, "Held-out music; empty: tracks are held out of data.music.");
  section.read("tracks", options.tracks, {0, 1e6}, "tracks", "How many tracks; 0: no validation.");
  section.read("seconds", options.seconds, {2, 1e5}, "s", "Of each track.");
  section.read("queries", options.queries, {1, 1e6}, "queries", "Distorted segments to look for.");
  section.read("interval", options.interval, {0, kManySteps}, "steps", "Between validations; 0: none.");
}

void check_sources(const Section& data, const Section& pairs, const TrainOptions& options) {
  const DataOptions& sources = options.data;
  const data::PairOptions& p = options.pairs;
  if (sources.music.empty() && sources.fma.empty()) {
    data.reject("music", "no music to train on: set data.music or data.fma");
  }
  const bool noise = !sources.noise.empty() || !sources.speech.empty() || !sources.colored_noise.empty();
  if (p.noise_probability + p.both_probability > 0 && !noise) {
    pairs.reject("noise_probability",
                 "noise is asked for, but data.noise, data.speech and data.colored_noise are empty");
  }
  if (p.reverb_probability + p.both_probability > 0 && sources.rirs.empty() && sources.rooms == 0) {
    pairs.reject("reverb_probability", "reverb is asked for, but data.rirs is empty and data.rooms is 0");
  }
  for (const std::string& color : sources.colored_noise) {
    if (color != "white" && color != "pink" && color != "brown") {
      data.reject("colored_noise", "expected white, pink or brown, got \"" + color + '"');
    }
  }
}

void check_reduction_groups(const Section& section, const TrainOptions& options) {
  const std::int64_t groups = options.reduction_groups;
  if (!std::has_single_bit(static_cast<std::uint64_t>(groups)) || options.pairs.pairs % groups != 0) {
    section.reject("reduction_groups", str("expected a power of two that divides pairs.count, which is ",
                                           options.pairs.pairs, ", got ", groups));
  }
  if (groups > 1 && options.precision == Precision::bf16) {
    section.reject("reduction_groups",
                   "goes with train.precision fp32: bf16 rounds the gradients of each process' share");
  }
  if (groups > 1 && options.micro_batch > 0) {
    section.reject("reduction_groups", "goes without train.micro_batch, whose parts are added up one after the other");
  }
  if (groups > 1 && !options.sync_batch_norm) {
    section.reject("reduction_groups",
                   "goes with train.sync_batch_norm: otherwise each process normalises by its own pairs");
  }
}

/// Gives an error whose text names its option first ("f_min, f_max: expected ...", "embedding is ...") the place of
/// that key; of several, of the last one that the configuration sets.
[[noreturn]] void reject_option(const Section& section, std::string_view names, const std::string& message) {
  std::string_view key = names.substr(0, names.find(','));
  for (std::size_t comma = names.find(", "); comma != std::string_view::npos; comma = names.find(", ")) {
    names.remove_prefix(comma + 2);
    const std::string_view next = names.substr(0, names.find(','));
    key = section.has(next) ? next : key;
  }
  section.reject(key, message);
}

void check_micro_batch(const Section& train, const TrainOptions& options) {
  if (options.micro_batch > 0 && options.pairs.pairs % options.micro_batch != 0) {
    train.reject("micro_batch", str("is ", options.micro_batch, ", which does not divide the ", options.pairs.pairs,
                                    " pairs of a batch (pairs.count)"));
  }
}

void check_features(const Section& section, const FeatureOptions& options) {
  try {
    check_feature_options(options);
  } catch (const Error& error) {
    const std::string text = error.what();
    const std::size_t colon = text.find(": ");
    reject_option(section, std::string_view(text).substr(0, colon), text.substr(colon + 2));
  }
}

void check_encoder(const Section& section, const nn::EncoderOptions& options) {
  try {
    nn::validate(options);
  } catch (const Error& error) {
    const std::string text = error.what();
    const std::string_view prefix = "encoder option ";
    const std::size_t end = text.find(' ', prefix.size());
    reject_option(section, std::string_view(text).substr(prefix.size(), end - prefix.size()), text.substr(end + 1));
  }
}

}  // namespace

TrainOptions read_train_options(Config& config) {
  TrainOptions options;
  read_train(config.section("train"), options);
  read_data(config.section("data"), options.data);
  read_features(config.section("features"), options.features);
  read_encoder(config.section("encoder"), options.encoder);
  read_pairs(config.section("pairs"), options.pairs);
  read_validation(config.section("validation"), options.validation);
  options.pairs.seed = options.seed;
  options.encoder.bands = options.features.mel_bands;
  options.encoder.frames = options.features.frames;
  return options;
}

void check_train_options(Config& config, const TrainOptions& options) {
  check_micro_batch(config.section("train"), options);
  check_sources(config.section("data"), config.section("pairs"), options);
  check_reduction_groups(config.section("train"), options);
  check_features(config.section("features"), options.features);
  check_encoder(config.section("encoder"), options.encoder);
}

double learning_rate(const OptimizerOptions& options, std::int64_t step, double progress) {
  double rate = options.learning_rate;
  if (options.schedule == Schedule::cosine) {
    const double falling = (1 + std::cos(std::numbers::pi * progress)) / 2;
    rate *= options.final_fraction + (1 - options.final_fraction) * falling;
  }
  if (step < options.warmup_steps) {
    rate *= static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  }
  return rate;
}

}  // namespace earmark::train
