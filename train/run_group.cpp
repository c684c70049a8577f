#include "train/run_group.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

#include "kernels/error.h"
#include "kernels/rank_work.h"

namespace earmark::train {

namespace {

/// Rank 0's.
std::string shared_text(Communicator& ranks, const std::string& own) {
  std::array<double, 1> size{static_cast<double>(own.size())};
  take_over(ranks, size, 0);
  const Tensor bytes({static_cast<std::int64_t>(size[0])}, DType::u8);
  if (ranks.rank() == 0) {
    std::copy(own.begin(), own.end(), bytes.mutable_data<std::uint8_t>());
  }
  ranks.broadcast(bytes, 0);
  const auto values = bytes.values<std::uint8_t>();
  return {values.begin(), values.end()};
}

}  // namespace

std::string first_difference(const std::string& there, const std::string& here) {
  std::istringstream in_there(there);
  std::istringstream in_here(here);
  std::string line_there;
  std::string line_here;
  while (true) {
    const bool more_there = static_cast<bool>(std::getline(in_there, line_there));
    const bool more_here = static_cast<bool>(std::getline(in_here, line_here));
    if (!more_there || !more_here || line_there != line_here) {
      return str("\"", more_there ? line_there : "", "\" there, \"", more_here ? line_here : "", "\" here");
    }
  }
}

void check_same_configuration(Communicator& ranks, const std::string& resolved) {
  const std::string there = shared_text(ranks, resolved);
  check(there == resolved, "rank ", ranks.rank(),
        " was given another configuration than rank 0: ", first_difference(there, resolved));
}

TrainingData open_training_data(const TrainOptions& options, Communicator& ranks, const Rank& rank,
                                const std::function<void(const std::string&)>& report) {
  const int own_turn = rank.rank == 0 ? 0 : rank.local_rank == 0 ? 1 : 2;
  TrainingData data;
  for (int turn = 0; turn < 3; ++turn) {
    work_beside_ranks(ranks, [&] {
      if (turn == own_turn) {
        data = open_training_data(
            options, rank.rank == 0 ? report : [](const std::string& /*line*/) {});
      }
    });
  }
  constexpr std::uint64_t kHalf = 32;
  const bool validates = data.validation != nullptr;
  const std::array<double, 4> own{static_cast<double>(data.identity >> kHalf),
                                  static_cast<double>(data.identity & 0xffffffffU),
                                  validates ? static_cast<double>(data.validation->store().size()) : 0,
                                  validates ? static_cast<double>(data.validation->store().total_samples()) : 0};
  std::array<double, 4> first = own;
  take_over(ranks, first, 0);
  check(own[0] == first[0] && own[1] == first[1], "rank ", rank.rank, " has other music to train on than rank 0");
  check(own == first, "rank ", rank.rank, " has other music to validate on than rank 0");
  return data;
}

}  // namespace earmark::train
