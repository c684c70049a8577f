#include "train/optimizer_shares.h"

#include <algorithm>
#include <optional>

#include "kernels/error.h"

namespace earmark::train {

namespace {

constexpr std::int64_t kBytesAtOnce = std::int64_t{32} << 20U;  // of all ranks together

/// The parameters dealt out in order, no rank getting more than `most` elements; none where they are too many.
std::optional<std::vector<Share>> deal(std::span<const SharedParameter> parameters, std::size_t ranks,
                                       std::int64_t most) {
  std::vector<Share> shares(ranks);
  std::size_t rank = 0;
  std::int64_t room = most;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const SharedParameter& parameter = parameters[p];
    std::int64_t begin = 0;
    while (begin < parameter.elements) {
      const std::int64_t left = parameter.elements - begin;
      const std::int64_t taken = left <= room ? left : room / parameter.grain * parameter.grain;
      if (taken > 0) {
        shares[rank].push_back({p, begin, begin + taken});
        begin += taken;
        room -= taken;
      } else if (++rank == ranks) {
        return {};
      } else {
        room = most;
      }
    }
  }
  return shares;
}

/// f(i, begin in the piece, end in it, begin in the part) for what of a share lies in its elements [begin, end).
template <class F>
void for_each_overlap(const Share& share, std::int64_t begin, std::int64_t end, const F& f) {
  std::int64_t first = 0;
  for (std::size_t i = 0; i < share.size(); ++i) {
    const std::int64_t from = std::max(begin, first);
    const std::int64_t to = std::min(end, first + share[i].size());
    if (from < to) {
      f(i, from - first, to - first, from - begin);
    }
    first += share[i].size();
  }
}

}  // namespace

Tensor piece_of(const Tensor& whole, const ParameterPiece& piece) {
  return whole.reshape({whole.numel()}).slice(piece.begin, piece.end);
}

std::int64_t elements_of(const Share& share) {
  std::int64_t total = 0;
  for (const ParameterPiece& piece : share) {
    total += piece.size();
  }
  return total;
}

std::vector<Share> share_out(std::span<const SharedParameter> parameters, int ranks) {
  check(ranks > 0, "an optimiser's state cannot be divided among ", ranks, " ranks");
  const auto count = static_cast<std::size_t>(ranks);
  std::int64_t total = 0;
  for (const SharedParameter& parameter : parameters) {
    check(parameter.elements >= 0 && parameter.grain > 0, "a parameter of ", parameter.elements,
          " elements cannot be cut at multiples of ", parameter.grain);
    total += parameter.elements;
  }
  std::int64_t enough = total;
  std::int64_t least = (total + ranks - 1) / ranks;
  while (least < enough) {
    const std::int64_t middle = least + (enough - least) / 2;
    deal(parameters, count, middle) ? enough = middle : least = middle + 1;
  }
  return *deal(parameters, count, enough);
}

void exchange_shares(Communicator& ranks, const std::vector<Share>& shares, DType dtype, Device device,
                     const std::function<Tensor(int rank, std::size_t i)>& place) {
  check(static_cast<int>(shares.size()) == ranks.size(), shares.size(), " shares of ", ranks.size(), " ranks");
  std::int64_t largest = 0;
  for (const Share& share : shares) {
    largest = std::max(largest, elements_of(share));
  }
  const std::int64_t at_once =
      std::max(std::int64_t{1}, kBytesAtOnce / (ranks.size() * static_cast<std::int64_t>(size_of(dtype))));
  for (std::int64_t begin = 0; begin < largest; begin += at_once) {
    const std::int64_t count = std::min(at_once, largest - begin);
    const Tensor part = Tensor::zeros({count}, dtype, device);
    const Tensor whole({ranks.size() * count}, dtype, device);
    const auto each = [&](int rank, const auto& copy) {
      for_each_overlap(shares[static_cast<std::size_t>(rank)], begin, begin + count,
                       [&](std::size_t i, std::int64_t from, std::int64_t to, std::int64_t at) {
                         if (const Tensor piece = place(rank, i)) {
                           copy(piece.slice(from, to), at);
                         }
                       });
    };
    each(ranks.rank(), [&](const Tensor& own, std::int64_t at) { part.slice(at, at + own.dim(0)).copy_from(own); });
    ranks.all_gather(part, whole);
    for (int rank = 0; rank < ranks.size(); ++rank) {
      if (rank != ranks.rank()) {
        each(rank, [&](const Tensor& target, std::int64_t at) {
          const std::int64_t first = rank * count + at;
          target.copy_from(whole.slice(first, first + target.dim(0)));
        });
      }
    }
  }
}

}  // namespace earmark::train
