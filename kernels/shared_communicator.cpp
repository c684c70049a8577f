#include "kernels/shared_communicator.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/error.h"
#include "kernels/rank_failure.h"
#include "kernels/rank_sums.h"
#include "kernels/shared_memory.h"
#include "kernels/socket.h"
#include "kernels/watch.h"

namespace earmark {

namespace {

constexpr std::size_t kFewBytes = 16384;  // then a second round costs more than the bytes it saves
constexpr std::size_t kSmallestArea = std::size_t{256} << 10U;
constexpr std::size_t kLargestArea = std::size_t{1} << 20U;  // two of them stay in a cache
constexpr std::size_t kMostBytes = std::size_t{32} << 20U;   // of all areas; containers often have 64 MiB
constexpr std::size_t kLine = 64;                            // of a cache
constexpr std::chrono::milliseconds kLook{50};               // how often a rank that waits looks for the others
constexpr std::chrono::microseconds kAwake{100};             // two ranks are seldom nearer in time
constexpr std::size_t kIdentity = 256;                       // bytes

enum class Presence : std::uint32_t { there, left, abandoned };

/// What a rank says of itself.
struct alignas(kLine) Seat {
  std::atomic<Presence> presence;
  std::atomic<std::int64_t> process;
};

/// How many rounds of a communicator a rank has done its part of.
struct alignas(kLine) Round {
  std::atomic<std::uint32_t> count;
};

/// Whether a counter, which may have wrapped, has come to `wanted`.
bool reached(std::uint32_t count, std::uint32_t wanted) { return static_cast<std::int32_t>(count - wanted) >= 0; }

std::size_t total_bytes(std::span<const Tensor> tensors) {
  return std::accumulate(tensors.begin(), tensors.end(), std::size_t{0},
                         [](std::size_t sum, const Tensor& t) { return sum + host_bytes(t).size(); });
}

/// Calls `f` with bytes [begin, end) of tensors that lie behind each other, piece by piece.
template <class F>
void for_bytes(std::span<const Tensor> tensors, std::size_t begin, std::size_t end, F f) {
  std::size_t first = 0;
  for (const Tensor& t : tensors) {
    const std::span<std::byte> bytes = host_bytes(t);
    const std::size_t from = std::max(begin, first);
    const std::size_t to = std::min(end, first + bytes.size());
    if (from < to) {
      f(bytes.subspan(from - first, to - from));
    }
    first += bytes.size();
  }
}

/// Whether all ranks say so.
bool all_say(Communicator& ranks, bool yes) {
  std::array<double, 1> count{yes ? 1.0 : 0.0};
  add_up(ranks, count);
  return count[0] == ranks.size();
}

bool on_one_machine(Communicator& ranks, bool allowed) {
  std::array<std::uint8_t, kIdentity> own{};
  std::ranges::copy((allowed ? machine_identity() : str("rank ", ranks.rank())).substr(0, kIdentity), own.begin());
  const Tensor part = Tensor::from<std::uint8_t>({1, kIdentity}, own);
  const Tensor all({ranks.size(), kIdentity}, DType::u8);
  ranks.all_gather(part, all);
  bool same = true;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    same = same && std::ranges::equal(all.slice(rank, rank + 1).values<std::uint8_t>(), own);
  }
  return same;
}

/// A name that no other group has: rank 0's.
std::string name_of_group(Communicator& ranks) {
  std::random_device random;
  std::array<double, 3> numbers{static_cast<double>(::getpid()), static_cast<double>(random()),
                                static_cast<double>(random())};
  take_over(ranks, numbers, 0);
  return str("earmark-", static_cast<std::uint64_t>(numbers[0]), "-", static_cast<std::uint64_t>(numbers[1]), "-",
             static_cast<std::uint64_t>(numbers[2]));
}

}  // namespace

class SharedCommunicator::Group {
 public:
  /// Throws Error where this rank cannot take part.
  Group(std::shared_ptr<Communicator> ranks, std::string name)
      : ranks_(std::move(ranks)),
        name_(std::move(name)),
        memory_(name_, sizeof(Seat) * static_cast<std::size_t>(ranks_->size())) {
    seat(rank()).process = ::getpid();
  }
  ~Group() { say(Presence::left); }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  /// When all are seated. Throws Error as OtherProcess does.
  void look_around() {
    for (int other = 0; other < size(); ++other) {
      processes_.emplace_back(seat(other).process);
    }
  }
  void complete() { memory_.complete(); }

  int rank() const { return ranks_->rank(); }
  int size() const { return ranks_->size(); }
  std::chrono::milliseconds timeout() const { return ranks_->timeout(); }
  const std::string& name() const { return name_; }
  std::uint64_t next_channel() { return channels_++; }

  void abandon() {
    say(Presence::abandoned);
    ranks_->abandon();
  }
  /// Waits until `count` of rank `other` has come to `wanted`.
  void await(const std::atomic<std::uint32_t>& count, std::uint32_t wanted, int other) {
    const auto come = [&] { return reached(count.load(std::memory_order_acquire), wanted); };
    if (watch(come, kAwake)) {
      return;
    }
    const Deadline deadline = std::chrono::steady_clock::now() + timeout();
    while (true) {
      const std::uint32_t seen = count.load(std::memory_order_acquire);
      if (reached(seen, wanted)) {
        return;
      }
      sleep_while(count, seen, kLook);
      if (count.load(std::memory_order_acquire) == seen) {
        check_there(other, deadline, come);
      }
    }
  }

 private:
  Seat& seat(int rank) const { return reinterpret_cast<Seat*>(memory_.bytes().data())[rank]; }
  void say(Presence presence) {
    Presence before = Presence::there;  // what was said first stays
    seat(rank()).presence.compare_exchange_strong(before, presence);
  }
  /// Throws Error where it will not come, or has not in time. Then this rank does not go on either.
  template <class F>
  void check_there(int other, Deadline deadline, F come) {
    const int gone = first_gone(other);
    const bool late = std::chrono::steady_clock::now() >= deadline;
    if ((gone < 0 && !late) || come()) {  // it may have come just before it went
      return;
    }
    const std::string why = gone < 0 ? silent_rank(other, rank(), size(), timeout()) : gone_rank(gone, rank(), size());
    failure_.note(why);
    abandon();
    failure_.tell(why);
  }
  /// The rank that has ended, where it is waited for, or has given up; -1: none.
  int first_gone(int other) const {
    const Presence presence = seat(other).presence;
    if (presence != Presence::there || processes_[static_cast<std::size_t>(other)].ended()) {
      return other;
    }
    for (int any = 0; any < size(); ++any) {
      if (seat(any).presence == Presence::abandoned) {
        return any;
      }
    }
    return -1;
  }

  std::shared_ptr<Communicator> ranks_;
  std::string name_;
  SharedMemory memory_;
  std::vector<OtherProcess> processes_;
  FirstFailure failure_;
  std::atomic<std::uint64_t> channels_{0};
};

class SharedCommunicator::Areas {
 public:
  /// Throws Error where there is no room.
  Areas(Group& group, const std::string& name, std::size_t area_bytes)
      : group_(group),
        area_bytes_(area_bytes),
        memory_(name, static_cast<std::size_t>(group.size()) * (sizeof(Round) + 2 * area_bytes)) {}

  void complete() { memory_.complete(); }
  std::size_t area_bytes() const { return area_bytes_; }
  /// Of rank `rank`, in turn.
  std::byte* area(int rank) const {
    const std::size_t number = static_cast<std::size_t>(2 * rank) + turn_;
    return memory_.bytes().data() + static_cast<std::size_t>(group_.size()) * sizeof(Round) + number * area_bytes_;
  }
  std::byte* own_area() const { return area(group_.rank()); }
  /// All ranks' from byte `first` on.
  std::vector<const std::byte*> areas_from(std::size_t first) const {
    std::vector<const std::byte*> found(static_cast<std::size_t>(group_.size()));
    for (int other = 0; other < group_.size(); ++other) {
      found[static_cast<std::size_t>(other)] = area(other) + first;
    }
    return found;
  }
  /// This rank has done its part of a round; returns when all have.
  void meet() {
    std::atomic<std::uint32_t>& own = count(group_.rank());
    const std::uint32_t wanted = own.load(std::memory_order_relaxed) + 1;
    own.store(wanted, std::memory_order_release);
    wake_sleepers(own);
    for (int other = 0; other < group_.size(); ++other) {
      if (other != group_.rank()) {
        group_.await(count(other), wanted, other);
      }
    }
  }
  /// The next piece goes to the other area.
  void turn() { turn_ = 1 - turn_; }

 private:
  std::atomic<std::uint32_t>& count(int rank) const {
    return reinterpret_cast<Round*>(memory_.bytes().data())[rank].count;
  }

  Group& group_;
  std::size_t area_bytes_;
  SharedMemory memory_;
  std::size_t turn_ = 0;
};

std::shared_ptr<Communicator> through_shared_memory(const std::shared_ptr<Communicator>& ranks, bool allowed) {
  if (!on_one_machine(*ranks, allowed)) {
    return ranks;
  }
  const std::string name = name_of_group(*ranks);
  std::shared_ptr<SharedCommunicator::Group> group;
  const auto all_can = [&](const auto& step) {  // and have
    bool can = true;
    try {
      step();
    } catch (const Error&) {
      can = false;
    }
    return all_say(*ranks, can);
  };
  const bool seated = all_can([&] { group = std::make_shared<SharedCommunicator::Group>(ranks, name); });
  if (group) {
    group->complete();
  }
  if (!seated || !all_can([&] { group->look_around(); })) {
    return ranks;
  }
  return std::shared_ptr<Communicator>(new SharedCommunicator(group, ranks->another()));
}

SharedCommunicator::SharedCommunicator(std::shared_ptr<Group> group, std::shared_ptr<Communicator> ranks)
    : group_(std::move(group)), ranks_(std::move(ranks)), channel_(group_->next_channel()) {}

SharedCommunicator::~SharedCommunicator() = default;

int SharedCommunicator::rank() const { return group_->rank(); }
int SharedCommunicator::size() const { return group_->size(); }
std::chrono::milliseconds SharedCommunicator::timeout() const { return group_->timeout(); }
void SharedCommunicator::abandon() { group_->abandon(); }
std::shared_ptr<Communicator> SharedCommunicator::another() {
  return std::shared_ptr<Communicator>(new SharedCommunicator(group_, ranks_->another()));
}

bool SharedCommunicator::ready(std::size_t bytes) {
  if (tried_) {
    return areas_ != nullptr;
  }
  tried_ = true;
  const std::size_t share = std::bit_floor(kMostBytes / (2 * static_cast<std::size_t>(size())));
  const std::size_t area = std::min(std::clamp(std::bit_ceil(bytes), kSmallestArea, kLargestArea), share);
  std::unique_ptr<Areas> areas;
  try {
    areas = std::make_unique<Areas>(*group_, str(group_->name(), "-", channel_), area);
  } catch (const Error&) {  // then all do without
  }
  const bool all_have = all_say(*ranks_, areas != nullptr);
  if (areas) {
    areas->complete();
  }
  if (all_have) {
    areas_ = std::move(areas);
  }
  return all_have;
}

void SharedCommunicator::reduce_piece(std::span<const Tensor> tensors, std::size_t begin, std::size_t end,
                                      Combine how) {
  const DType dtype = tensors.front().dtype();
  const std::size_t bytes = end - begin;
  std::byte* at = areas_->own_area();
  for_bytes(tensors, begin, end, [&](std::span<const std::byte> piece) { at = std::ranges::copy(piece, at).out; });
  areas_->meet();
  if (bytes <= kFewBytes) {
    std::size_t first = 0;
    for_bytes(tensors, begin, end, [&](std::span<std::byte> piece) {
      combine_ranks(dtype, areas_->areas_from(first), how, piece);
      first += piece.size();
    });
    return areas_->turn();
  }
  const std::size_t count = bytes / size_of(dtype);
  const auto share = [&](int of) {  // where the elements begin that rank `of` adds up
    return count * static_cast<std::size_t>(of) / static_cast<std::size_t>(size()) * size_of(dtype);
  };
  const std::size_t first = share(rank());
  combine_ranks(dtype, areas_->areas_from(first), how, {areas_->own_area() + first, share(rank() + 1) - first});
  areas_->meet();
  for (int other = 0; other < size(); ++other) {
    const std::byte* from = areas_->area(other) + share(other);
    for_bytes(tensors, begin + share(other), begin + share(other + 1), [&](std::span<std::byte> piece) {
      std::copy_n(from, piece.size(), piece.begin());
      from += piece.size();
    });
  }
  areas_->turn();
}

void SharedCommunicator::all_reduce(std::span<const Tensor> tensors, Combine how) {
  check_combine(how, size());
  if (tensors.empty()) {
    return;
  }
  std::ranges::for_each(tensors, [&](const Tensor& t) { check_summable(t, tensors.front().dtype()); });
  const std::size_t bytes = total_bytes(tensors);
  if (!ready(bytes)) {
    return ranks_->all_reduce(tensors, how);
  }
  for (std::size_t begin = 0; begin < bytes; begin += areas_->area_bytes()) {
    reduce_piece(tensors, begin, std::min(bytes, begin + areas_->area_bytes()), how);
  }
}

void SharedCommunicator::all_gather(const Tensor& part, const Tensor& whole) {
  check_part(part, whole, size());
  const std::span<std::byte> own = host_bytes(part);
  const std::span<std::byte> all = host_bytes(whole);
  if (!ready(own.size())) {
    return ranks_->all_gather(part, whole);
  }
  for (std::size_t begin = 0; begin < own.size(); begin += areas_->area_bytes()) {
    const std::size_t bytes = std::min(own.size() - begin, areas_->area_bytes());
    std::copy_n(own.data() + begin, bytes, areas_->own_area());
    areas_->meet();
    for (int other = 0; other < size(); ++other) {
      std::copy_n(areas_->area(other), bytes, all.data() + static_cast<std::size_t>(other) * own.size() + begin);
    }
    areas_->turn();
  }
}

void SharedCommunicator::reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) {
  check_part(part, whole, size());
  check_summable(whole, part.dtype());
  check_combine(how, size());
  const std::span<std::byte> all = host_bytes(whole);
  const std::span<std::byte> own = host_bytes(part);
  if (!ready(all.size())) {
    return ranks_->reduce_scatter(whole, part, how);
  }
  const auto ranks = static_cast<std::size_t>(size());
  const std::size_t piece = areas_->area_bytes() / ranks / kLine * kLine;
  for (std::size_t begin = 0; begin < own.size(); begin += piece) {
    const std::size_t bytes = std::min(own.size() - begin, piece);
    for (std::size_t other = 0; other < ranks; ++other) {
      std::copy_n(all.data() + other * own.size() + begin, bytes, areas_->own_area() + other * piece);
    }
    areas_->meet();
    combine_ranks(part.dtype(), areas_->areas_from(static_cast<std::size_t>(rank()) * piece), how,
                  own.subspan(begin, bytes));
    areas_->turn();
  }
}

void SharedCommunicator::broadcast(const Tensor& t, int root) {
  check(root >= 0 && root < size(), "rank ", root, " of ", size());
  const std::span<std::byte> bytes = host_bytes(t);
  if (!ready(bytes.size())) {
    return ranks_->broadcast(t, root);
  }
  for (std::size_t begin = 0; begin < bytes.size(); begin += areas_->area_bytes()) {
    const std::span<std::byte> piece = bytes.subspan(begin, std::min(bytes.size() - begin, areas_->area_bytes()));
    if (rank() == root) {
      std::ranges::copy(piece, areas_->own_area());
    }
    areas_->meet();
    if (rank() != root) {
      std::copy_n(areas_->area(root), piece.size(), piece.begin());
    }
    areas_->turn();
  }
}

void SharedCommunicator::barrier() { ready(0) ? areas_->meet() : ranks_->barrier(); }

}  // namespace earmark
