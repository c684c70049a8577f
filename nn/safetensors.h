// safetensors: 8 bytes of header length, a JSON header with dtype, shape and byte range per tensor and string metadata,
// then the data. Python's `safetensors` reads what this writes, and the other way round.
// Format: https://github.com/huggingface/safetensors#format
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/tensor.h"

namespace earmark::nn {

struct SafetensorsFile {
  std::vector<std::pair<std::string, Tensor>> tensors;  ///< In the order of their data.
  std::map<std::string, std::string> metadata;

  /// The tensor of that name. Throws Error naming `name` when there is none.
  const Tensor& at(const std::string& name) const;
  bool contains(const std::string& name) const;
};

/// Reads a whole file. Everything is checked: header length, JSON, dtypes,
/// shapes against byte ranges, ranges against the file's size, gaps and overlaps. Throws Error naming the file and what
/// is wrong with it.
SafetensorsFile read_safetensors(const std::filesystem::path& path);

/// Writes atomically (temporary name, fsync, rename): the old file or the whole new one is there at any moment.
void write_safetensors(const std::filesystem::path& path, const SafetensorsFile& file);

}  // namespace earmark::nn
