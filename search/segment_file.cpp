#include "search/segment_file.h"

#include <xxhash.h>

#include <array>
#include <cstring>
#include <vector>

#include "data/audio_files.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "kernels/life_signs.h"
#include "search/database.h"
#include "search/mapped_file.h"

namespace earmark::search {
namespace {

constexpr std::array<char, 8> kSegmentMagic = {'E', 'A', 'R', 'M', 'S', 'E', 'G', '\n'};
constexpr std::uint32_t kSegmentVersion = 1;
constexpr std::size_t kHeaderBytes = 4096;  // a page, so that rows are aligned to whole cache lines

struct SegmentHeader {
  std::array<char, 8> magic = kSegmentMagic;
  std::uint32_t version = kSegmentVersion;
  std::uint32_t dtype = 0;
  std::int64_t rows = 0;
  std::int64_t dimension = 0;
  std::int64_t scales = 0;
  std::uint64_t data_hash = 0;
  std::uint64_t header_hash = 0;  // of all fields above
};

std::uint64_t header_hash(const SegmentHeader& header) {
  return XXH3_64bits(&header, offsetof(SegmentHeader, header_hash));
}

std::span<const std::byte> tensor_bytes(const Tensor& tensor) {
  return tensor ? std::span<const std::byte>(tensor.raw(), tensor.bytes()) : std::span<const std::byte>();
}

std::uint64_t hash_of(std::span<const std::byte> rows, std::span<const std::byte> scales) {
  return XXH3_64bits_withSeed(scales.data(), scales.size(), XXH3_64bits(rows.data(), rows.size()));
}

SegmentHeader read_header(std::span<const std::byte> bytes) {
  SegmentHeader header;
  check(bytes.size() >= kHeaderBytes, "cut short: ", bytes.size(), " bytes");
  std::memcpy(&header, bytes.data(), sizeof header);
  check(header.magic == kSegmentMagic, "not a segment file");
  check(header.version == kSegmentVersion, "version ", header.version, ", this program reads version ",
        kSegmentVersion);
  check(header.header_hash == header_hash(header), "the header is damaged (checksum)");
  return header;
}

}  // namespace

SegmentInfo write_segment(const std::filesystem::path& file, const kernels::StoredRows& stored) {
  check_rows(stored);
  SegmentHeader header;
  header.dtype = static_cast<std::uint32_t>(stored.rows.dtype());
  header.rows = stored.rows.dim(0);
  header.dimension = stored.rows.dim(1);
  header.scales = stored.scales ? stored.scales.numel() : 0;
  header.data_hash = hash_of(tensor_bytes(stored.rows), tensor_bytes(stored.scales));
  header.header_hash = header_hash(header);
  std::vector<std::byte> page(kHeaderBytes);
  std::memcpy(page.data(), &header, sizeof header);
  SegmentInfo info{header.rows, 0, header.data_hash};
  write_file_atomically(file, [&](AtomicFile& out) {
    out.write(page);
    out.write(tensor_bytes(stored.rows));
    out.write(tensor_bytes(stored.scales));
    info.bytes = out.size();
  });
  return info;
}

kernels::StoredRows map_segment(const std::filesystem::path& file, const SegmentInfo& expected, bool verify) {
  show_life();
  const auto mapped = MappedFile::open(file);
  try {
    const std::span<const std::byte> bytes = mapped->bytes();
    const SegmentHeader header = read_header(bytes);
    check(bytes.size() == expected.bytes, bytes.size(), " bytes, the catalogue says ", expected.bytes);
    check(header.rows == expected.rows && header.data_hash == expected.hash, "not the segment the catalogue describes");
    check(header.dtype <= static_cast<std::uint32_t>(DType::i64), "unknown element type ", header.dtype);
    const auto dtype = static_cast<DType>(header.dtype);
    const std::size_t row_bytes =
        static_cast<std::size_t>(header.rows) * static_cast<std::size_t>(header.dimension) * size_of(dtype);
    check(bytes.size() == kHeaderBytes + row_bytes + static_cast<std::size_t>(header.scales) * sizeof(float),
          "the header does not fit its size");
    if (verify) {
      check(
          hash_of(bytes.subspan(kHeaderBytes, row_bytes), bytes.subspan(kHeaderBytes + row_bytes)) == header.data_hash,
          "the fingerprints are damaged (checksum)");
    }
    // Tensors of mapped files are only ever read.
    auto* data = const_cast<std::byte*>(bytes.data()) + kHeaderBytes;  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    kernels::StoredRows stored{Tensor({header.rows, header.dimension}, dtype, data, mapped), {}};
    if (header.scales > 0) {
      stored.scales = Tensor({header.scales}, DType::f32, data + row_bytes, mapped);
    }
    check_rows(stored);
    return stored;
  } catch (const Error& error) {
    fail(data::printable(file.string()), ": ", error.what());
  }
}

}  // namespace earmark::search
