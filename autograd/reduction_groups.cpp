#include "autograd/reduction_groups.h"

#include <bit>
#include <utility>

#include "kernels/elementwise.h"
#include "kernels/error.h"

namespace earmark {

namespace {

thread_local ReductionGroups groups_of_thread;

/// earlier + later, in the memory of `earlier`.
std::vector<Tensor> added(std::vector<Tensor> earlier, const std::vector<Tensor>& later) {
  for (std::size_t i = 0; i < earlier.size(); ++i) {
    if (earlier[i]) {
      kernels::add(earlier[i], later[i], earlier[i]);
    }
  }
  return earlier;
}

}  // namespace

ReductionGroups::ReductionGroups(std::int64_t all, int processes) : all_(all), own_(all == 1 ? 1 : all / processes) {
  check(all >= 1 && std::has_single_bit(static_cast<std::uint64_t>(all)), "reduction groups: expected a power of two, ",
        "got ", all);
  check(all == 1 || all % processes == 0, "reduction groups: ", all, " cannot be shared out among ", processes,
        " processes");
}

RowRange ReductionGroups::rows_of(std::int64_t group, std::int64_t rows) const {
  check(rows % own_ == 0, "reduction groups: ", rows, " rows cannot be cut into ", own_, " groups");
  const std::int64_t each = rows / own_;
  return {group * each, (group + 1) * each};
}

std::vector<Tensor> ReductionGroups::sum(std::int64_t rows, const Partial& partial) const {
  std::vector<std::vector<Tensor>> waiting;  // sums of 2^k groups for each bit k of the number of groups done
  for (std::int64_t group = 0; group < own_; ++group) {
    std::vector<Tensor> part = partial(rows_of(group, rows));
    for (std::int64_t done = group; done % 2 == 1; done /= 2) {
      part = added(std::move(waiting.back()), part);
      waiting.pop_back();
    }
    waiting.push_back(std::move(part));
  }
  return std::move(waiting.front());
}

void ReductionGroups::refuse(const char* operation) {
  check(!groups_of_thread.on(), operation, " knows no reduction groups: its sums depend on how many rows there are");
}

const ReductionGroups& ReductionGroups::current() { return groups_of_thread; }

ReductionGroupsScope::ReductionGroupsScope(const ReductionGroups& groups)
    : before_(std::exchange(groups_of_thread, groups)) {}
ReductionGroupsScope::~ReductionGroupsScope() { groups_of_thread = before_; }

}  // namespace earmark
