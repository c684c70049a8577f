// Scalars for TensorBoard: a file of records (length, CRC-32C of the length, an Event in protobuf's wire format, its
// CRC-32C), as TensorFlow's TFRecord. tensorboard --logdir RUN shows them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace earmark::train {

/// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected).
std::uint32_t crc32c(std::string_view bytes);
/// TFRecord's masking: rotated right by 15, plus a constant.
std::uint32_t masked_crc32c(std::string_view bytes);

/// One record around `payload`.
std::string tensorboard_record(std::string_view payload);
/// The Event that begins a file.
std::string tensorboard_version_event(double wall_time);
/// An Event with one scalar.
std::string tensorboard_scalar_event(double wall_time, std::int64_t step, std::string_view tag, float value);

}  // namespace earmark::train
