#include "search/rank_exchange.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/error.h"

namespace earmark::search {

std::vector<nlohmann::json> gathered(Communicator& ranks, const nlohmann::json& own) {
  const std::vector<std::uint8_t> bytes = nlohmann::json::to_cbor(own);
  const Tensor length = Tensor::from<std::int64_t>({1}, std::array{static_cast<std::int64_t>(bytes.size())});
  const Tensor lengths({ranks.size()}, DType::i64);
  ranks.all_gather(length, lengths);
  const auto sizes = lengths.values<std::int64_t>();
  const std::int64_t longest = *std::ranges::max_element(sizes);
  const Tensor part = Tensor::zeros({longest}, DType::u8);
  std::ranges::copy(bytes, part.mutable_data<std::uint8_t>());
  const Tensor whole({ranks.size() * longest}, DType::u8);
  ranks.all_gather(part, whole);
  std::vector<nlohmann::json> all;
  const std::uint8_t* at = whole.data<std::uint8_t>();
  for (const std::int64_t size : sizes) {
    all.push_back(nlohmann::json::from_cbor(at, at + size));
    at += longest;
  }
  return all;
}

void check_same(Communicator& ranks, const std::string& own, const std::string& what) {
  check(gathered(ranks, own).front().get<std::string>() == own, "rank ", ranks.rank(), " of ", ranks.size(), " has ",
        what, " that rank 0 has not: all must be given the same");
}

}  // namespace earmark::search
