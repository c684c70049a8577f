#include "nn/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/atomic_file.h"
#include "kernels/error.h"

namespace earmark::nn {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;  // The limit of the reference implementation.
constexpr std::uint64_t kAlignment = 64;
constexpr std::array<std::pair<std::string_view, DType>, 9> kTypes{{{"F32", DType::f32},
                                                                    {"F64", DType::f64},
                                                                    {"BF16", DType::bf16},
                                                                    {"F16", DType::f16},
                                                                    {"I8", DType::i8},
                                                                    {"U8", DType::u8},
                                                                    {"I16", DType::i16},
                                                                    {"I32", DType::i32},
                                                                    {"I64", DType::i64}}};

std::string_view format_name(DType dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& type) { return type.second == dtype; })->first;
}

/// One tensor's line of the header.
struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  std::uint64_t begin;
  std::uint64_t end;
};

/// Reads one file; every complaint names it.
class Reader {
 public:
  explicit Reader(const fs::path& path) : path_(path), in_(path, std::ios::binary) {
    check(in_.good() && fs::is_regular_file(path), path.string(), ": cannot be read");
    size_ = fs::file_size(path);
  }

  SafetensorsFile read() {
    const json header = read_header();
    SafetensorsFile file;
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        read_metadata(value, file.metadata);
      } else {
        entries.push_back(read_entry(name, value));
      }
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    check_ranges(entries);
    for (const Entry& entry : entries) {
      file.tensors.emplace_back(entry.name, read_tensor(entry));
    }
    return file;
  }

 private:
  template <class... Parts>
  void require(bool holds, const Parts&... parts) const {
    check(holds, path_.string(), ": damaged or not a safetensors file: ", parts...);
  }

  json read_header() {
    require(size_ >= 8, "only ", size_, " bytes long");
    std::array<unsigned char, 8> bytes{};
    in_.read(reinterpret_cast<char*>(bytes.data()), bytes.size());
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      length |= std::uint64_t{bytes.at(i)} << (8 * i);
    }
    require(length <= kMaxHeader && length <= size_ - 8, "header of ", length, " bytes in a file of ", size_);
    std::string text(length, '\0');
    in_.read(text.data(), static_cast<std::streamsize>(length));
    require(in_.good(), "the header cannot be read");
    data_begin_ = 8 + length;
    const json header = json::parse(text, nullptr, false);
    require(header.is_object(), "the header is not a JSON object");
    return header;
  }

  void read_metadata(const json& value, std::map<std::string, std::string>& out) const {
    require(value.is_object(), "the metadata is not a JSON object");
    for (const auto& [key, text] : value.items()) {
      require(text.is_string(), "metadata \"", key, "\" is not text");
      out[key] = text.get<std::string>();
    }
  }

  Entry read_entry(const std::string& name, const json& value) const {
    const auto is_count = [](const json& number) { return number.is_number_unsigned(); };
    const auto is_list = [&](const char* key) {
      return value.is_object() && value.contains(key) && value.at(key).is_array() &&
             std::all_of(value.at(key).begin(), value.at(key).end(), is_count);
    };
    require(is_list("shape") && is_list("data_offsets") && value.at("data_offsets").size() == 2 &&
                value.contains("dtype") && value.at("dtype").is_string(),
            "tensor ", name, " lacks dtype, shape or data_offsets");
    const std::string type = value.at("dtype").get<std::string>();
    const auto known = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.first == type; });
    check(known != kTypes.end(), path_.string(), ": tensor ", name, " has element type ", type,
          ", which is not supported");
    Entry entry{name, known->second, read_shape(name, value.at("shape"), size_of(known->second)),
                value.at("data_offsets").at(0).get<std::uint64_t>(),
                value.at("data_offsets").at(1).get<std::uint64_t>()};
    const std::uint64_t bytes = static_cast<std::uint64_t>(entry.shape.numel()) * size_of(entry.dtype);
    require(entry.begin <= entry.end && entry.end - entry.begin == bytes, "tensor ", name, " of shape ", entry.shape,
            " has ", bytes, " bytes, its offsets are ", entry.begin, " and ", entry.end);
    return entry;
  }

  Shape read_shape(const std::string& name, const json& value, std::uint64_t element_bytes) const {
    require(value.size() <= Shape::kMaxRank, "tensor ", name, " has ", value.size(), " axes");
    std::vector<std::int64_t> dims;
    std::uint64_t bytes = element_bytes;
    for (const json& extent : value) {
      const auto count = extent.get<std::uint64_t>();
      require(count == 0 || bytes <= size_ / count, "tensor ", name, " is larger than the file");
      bytes *= count;
      dims.push_back(static_cast<std::int64_t>(count));
    }
    return Shape(std::span<const std::int64_t>(dims));
  }

  /// Tensors follow each other without gap or overlap and end with the file.
  void check_ranges(const std::vector<Entry>& entries) const {
    std::uint64_t at = 0;
    for (const Entry& entry : entries) {
      require(entry.begin == at, "tensor ", entry.name, " begins at byte ", entry.begin, " of the data, expected ", at);
      at = entry.end;
    }
    require(data_begin_ + at == size_, "expected ", data_begin_ + at, " bytes, the file has ", size_);
  }

  Tensor read_tensor(const Entry& entry) {
    const Tensor tensor(entry.shape, entry.dtype);
    in_.seekg(static_cast<std::streamoff>(data_begin_ + entry.begin));
    in_.read(reinterpret_cast<char*>(tensor.raw()), static_cast<std::streamsize>(tensor.bytes()));
    require(in_.good(), "tensor ", entry.name, " cannot be read");
    return tensor;
  }

  fs::path path_;
  std::ifstream in_;
  std::uint64_t size_ = 0;
  std::uint64_t data_begin_ = 0;
};

/// The header for tensors one after the other, padded so that the data begins aligned.
std::string header_text(const SafetensorsFile& file) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!file.metadata.empty()) {
    header["__metadata__"] = file.metadata;
  }
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : file.tensors) {
    check(!header.contains(name) && name != "__metadata__", "safetensors: the name ", name, " is used twice");
    const std::span<const std::int64_t> dims = tensor.shape().dims();
    header[name] = {{"dtype", format_name(tensor.dtype())},
                    {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())},
                    {"data_offsets", {at, at + tensor.bytes()}}};
    at += tensor.bytes();
  }
  std::string text = header.dump();
  text.append((kAlignment - (8 + text.size()) % kAlignment) % kAlignment, ' ');
  return text;
}

}  // namespace

const Tensor& SafetensorsFile::at(const std::string& name) const {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.first == name; });
  check(found != tensors.end(), "there is no tensor named ", name);
  return found->second;
}

bool SafetensorsFile::contains(const std::string& name) const {
  return std::any_of(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.first == name; });
}

SafetensorsFile read_safetensors(const fs::path& path) { return Reader(path).read(); }

void write_safetensors(const fs::path& path, const SafetensorsFile& file) {
  const std::string header = header_text(file);
  std::array<std::byte, 8> length{};
  for (std::size_t i = 0; i < length.size(); ++i) {
    length.at(i) = static_cast<std::byte>((header.size() >> (8 * i)) & 0xffU);
  }
  write_file_atomically(path, [&](AtomicFile& out) {
    out.write(length);
    out.write(header);
    for (const auto& entry : file.tensors) {
      out.write(std::span<const std::byte>(entry.second.raw(), entry.second.bytes()));
    }
  });
}

}  // namespace earmark::nn
