// lsh.cache: a header, then for each table occupied (u64), before, offsets and entries (u32), each part padded to eight
// bytes. Little-endian. It can always be rebuilt, so a file that does not fit is refused, never repaired.
#include "search/lsh_tables.h"

#include <xxhash.h>

#include <array>
#include <cstring>

#include "data/audio_files.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "search/mapped_file.h"

namespace earmark::search {
namespace {

constexpr std::array<char, 8> kLshMagic = {'E', 'A', 'R', 'L', 'S', 'H', '0', '1'};

struct LshHeader {
  std::array<char, 8> magic = kLshMagic;
  std::uint64_t key = 0;
  std::uint64_t seed = 0;
  std::int64_t rows = 0;
  std::int64_t dimension = 0;  // padded
  std::int32_t tables = 0;
  std::int32_t bits = 0;
  std::int32_t rotations = 0;
  std::int32_t reserved = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_hash = 0;
};

template <class T>
void append(std::vector<std::byte>& out, std::span<const T> values) {
  const std::uint64_t count = values.size();
  const auto count_bytes = std::as_bytes(std::span(&count, 1));
  const auto bytes = std::as_bytes(values);
  out.insert(out.end(), count_bytes.begin(), count_bytes.end());
  out.insert(out.end(), bytes.begin(), bytes.end());
  out.resize((out.size() + 7) / 8 * 8);
}

/// Takes the next part off `bytes`; throws where it does not fit in.
template <class T>
std::span<const T> take(std::span<const std::byte>& bytes, std::uint64_t expected) {
  std::uint64_t count = 0;
  check(bytes.size() >= sizeof count, "cut short");
  std::memcpy(&count, bytes.data(), sizeof count);
  check(count == expected || expected == 0, "part of ", count, " elements, expected ", expected);
  const std::uint64_t padded = (count * sizeof(T) + 7) / 8 * 8;
  check(count <= bytes.size() && padded <= bytes.size() - sizeof count, "cut short");
  const std::span<const T> part(reinterpret_cast<const T*>(bytes.data() + sizeof count), count);
  bytes = bytes.subspan(sizeof count + padded);
  return part;
}

void check_header(const LshHeader& header, const LshOptions& options, std::uint64_t key, std::size_t file_bytes) {
  check(header.magic == kLshMagic, "not a file of hash tables");
  check(header.key == key, "made for other content");
  check(header.seed == options.seed && header.tables == options.tables && header.bits == options.bits &&
            header.rotations == options.rotations,
        "made with other options");
  check(header.payload_bytes == file_bytes - sizeof header, "cut short");
}

}  // namespace

void LshIndex::save(const std::filesystem::path& file, std::uint64_t key) const {
  const Tables& t = *tables_;
  std::vector<std::byte> payload;
  payload.reserve(t.bytes + static_cast<std::size_t>(t.options.tables) * 64);
  for (const CompactTable& table : t.tables) {
    append(payload, table.occupied);
    append(payload, table.before);
    append(payload, table.offsets);
    append(payload, table.entries);
  }
  const LshHeader header{kLshMagic,
                         key,
                         t.options.seed,
                         t.rows,
                         t.family.padded_dimension(),
                         t.options.tables,
                         t.options.bits,
                         t.options.rotations,
                         0,
                         payload.size(),
                         XXH3_64bits(payload.data(), payload.size())};
  write_file_atomically(file, [&](AtomicFile& out) {
    out.write(std::as_bytes(std::span(&header, 1)));
    out.write(payload);
  });
}

LshIndex LshIndex::load(const std::filesystem::path& file, const LshOptions& given, std::uint64_t key) {
  const auto mapped = MappedFile::open(file);
  try {
    LshHeader header;
    check(mapped->bytes().size() >= sizeof header, "cut short");
    std::memcpy(&header, mapped->bytes().data(), sizeof header);
    const LshOptions options = with_bits(given, header.rows);
    check_header(header, options, key, mapped->bytes().size());
    std::span<const std::byte> bytes = mapped->bytes().subspan(sizeof header);
    check(XXH3_64bits(bytes.data(), bytes.size()) == header.payload_hash, "the checksum does not match");
    auto tables = std::make_shared<Tables>();
    tables->options = options;
    tables->family =
        kernels::make_hash_family(header.dimension, options.tables, options.bits, options.rotations, options.seed);
    tables->rows = header.rows;
    tables->bytes = bytes.size();
    tables->owner = mapped;
    for (int t = 0; t < options.tables; ++t) {
      const auto occupied = take<std::uint64_t>(bytes, words_of(options.bits));
      const auto before = take<std::uint32_t>(bytes, words_of(options.bits));
      const auto offsets = take<std::uint32_t>(bytes, 0);
      tables->tables.push_back(
          {occupied, before, offsets, take<std::uint32_t>(bytes, static_cast<std::uint64_t>(header.rows))});
    }
    LshIndex index;
    index.tables_ = tables;
    return index;
  } catch (const Error& error) {
    fail(data::printable(file.string()), ": ", error.what());
  }
}

}  // namespace earmark::search
