// What ranks exchange in some work, to be done again without the work: how long the exchange alone takes.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/communicator.h"

namespace earmark::experiments {

/// Calls of communicators, in the order of each: one list for every communicator that came of the first one.
class ExchangeList {
 public:
  using Call = std::function<void(Communicator& by)>;

  std::size_t add_channel();
  /// Calls of the work that is done now are noted, or are not.
  void note(bool calls);
  void add(std::size_t channel, Call call);
  std::size_t size() const;
  /// Makes all calls by `by`, channel after channel, on tensors of the same shapes and types.
  void repeat(Communicator& by) const;

 private:
  mutable std::mutex mutex_;
  bool noted_ = false;
  std::vector<std::vector<Call>> channels_;
};

/// Does what `ranks` does and notes it in `list`.
std::shared_ptr<Communicator> recorded(std::shared_ptr<Communicator> ranks, std::shared_ptr<ExchangeList> list);

}  // namespace earmark::experiments
