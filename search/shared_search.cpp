#include "search/shared_search.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "kernels/error.h"
#include "kernels/rank_rows.h"

namespace earmark::search {
namespace {

constexpr std::chrono::milliseconds kAskingNothing{5};  // a rank holds the others up no longer

std::vector<Tensor> parts_of(const Tensor& whole, int count) {
  std::vector<Tensor> parts;
  parts.reserve(static_cast<std::size_t>(count));
  const std::int64_t rows = whole.dim(0) / count;
  for (int i = 0; i < count; ++i) {
    parts.push_back(whole.slice(i * rows, (i + 1) * rows));
  }
  return parts;
}

}  // namespace

SharedSearch::SharedSearch(std::shared_ptr<Communicator> ranks, const Database& database, int k)
    : ranks_(std::move(ranks)), database_(database), k_(k), watch_(ranks_->size(), ranks_->timeout()) {}

SharedSearch::~SharedSearch() { end(failed); }

void SharedSearch::start() {
  watch_ = LifeWatch(ranks_->size(), ranks_->timeout());
  thread_ = std::thread([this] { serve(); });
}

Neighbours SharedSearch::search(const Tensor& fingerprints) {
  Request request{fingerprints.to(Device{}), {}, false};
  std::unique_lock lock(mutex_);
  if (!ended_) {
    waiting_.push_back(&request);
    changed_.notify_all();
  }
  changed_.wait(lock, [&] { return request.done || ended_; });
  if (!request.done && lost_) {
    std::rethrow_exception(lost_);
  }
  check(request.done, "a search that was shared is over");
  return request.found;
}

void SharedSearch::check_ranks() {
  const std::scoped_lock lock(mutex_);
  if (lost_) {
    std::rethrow_exception(lost_);
  }
}

void SharedSearch::finish() {
  end(finished);
  check_ranks();
}

void SharedSearch::end(State state) {
  {
    const std::scoped_lock lock(mutex_);
    state_ = state_ == asking ? state : state_;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void SharedSearch::serve() {
  std::exception_ptr lost;
  try {
    while (round()) {
    }
  } catch (...) {
    lost = std::current_exception();
  }
  {
    const std::scoped_lock lock(mutex_);
    lost_ = lost;
    ended_ = true;
  }
  changed_.notify_all();
}

bool SharedSearch::round() {
  std::vector<Request*> own;
  State state = asking;
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kAskingNothing, [this] { return !waiting_.empty() || state_ == failed; });
    own.swap(waiting_);
    state = state_;
  }
  std::int64_t rows = 0;
  std::ranges::for_each(own, [&](const Request* request) { rows += request->fingerprints.dim(0); });
  const std::vector<std::int64_t> counts = exchanged(rows, state);
  if (counts.empty()) {
    return false;
  }
  if (std::ranges::all_of(counts, [](std::int64_t count) { return count == 0; })) {
    return true;
  }
  const Neighbours found = found_by_all(gather_rows(*ranks_, packed(own, rows), counts));
  std::int64_t row = 0;
  for (int r = 0; r < ranks_->rank(); ++r) {
    row += counts[static_cast<std::size_t>(r)];
  }
  const std::scoped_lock lock(mutex_);
  for (Request* request : own) {
    const std::int64_t end = row + request->fingerprints.dim(0);
    request->found = {found.indices.slice(row, end).clone(), found.scores.slice(row, end).clone()};
    request->done = true;
    row = end;
  }
  changed_.notify_all();
  return true;
}

/// Tells the others what this rank brings to the round. How many rows each has; none: there are no more rounds.
std::vector<std::int64_t> SharedSearch::exchanged(std::int64_t rows, State state) {
  constexpr std::int64_t kNumbers = 4;  // rows, state, signs of life, the rank that is given up
  const auto signs = static_cast<std::int64_t>(signs_of_life());
  const Tensor own = Tensor::from<std::int64_t>(
      {1, kNumbers}, std::array<std::int64_t, kNumbers>{rows, state, signs, watch_.silent()});
  const Tensor all({ranks_->size(), kNumbers}, DType::i64);
  ranks_->all_gather(own, all);
  std::vector<std::int64_t> counts;
  int ready = 0;
  for (int r = 0; r < ranks_->size(); ++r) {
    const std::int64_t* of = all.data<std::int64_t>() + kNumbers * r;
    check(of[1] != failed, "another rank has failed: it says why");
    check(of[3] < 0, watch_.sentence(static_cast<int>(of[3])));
    counts.push_back(of[0]);
    ready += of[1] == finished ? 1 : 0;
    of[1] == finished ? watch_.excuse(r) : watch_.see(r, static_cast<std::uint64_t>(of[2]));
  }
  return ready == ranks_->size() ? std::vector<std::int64_t>() : counts;
}

Tensor SharedSearch::packed(const std::vector<Request*>& requests, std::int64_t rows) const {
  const Tensor all({rows, database_.dimension()});
  std::int64_t row = 0;
  for (const Request* request : requests) {
    const std::int64_t end = row + request->fingerprints.dim(0);
    all.slice(row, end).copy_from(request->fingerprints);
    row = end;
  }
  return all;
}

Neighbours SharedSearch::found_by_all(const Tensor& fingerprints) const {
  const int size = ranks_->size();
  const std::int64_t m = fingerprints.dim(0);
  const Neighbours here =
      exact_search_within(database_, fingerprints, k_, first_row_of_share(database_, ranks_->rank(), size),
                          first_row_of_share(database_, ranks_->rank() + 1, size));
  const Neighbours all{Tensor({m * size, k_}, DType::i64), Tensor({m * size, k_})};
  ranks_->all_gather(here.indices, all.indices);
  ranks_->all_gather(here.scores, all.scores);
  const std::vector<Tensor> indices = parts_of(all.indices, size);
  const std::vector<Tensor> scores = parts_of(all.scores, size);
  std::vector<Neighbours> lists;
  lists.reserve(indices.size());
  for (int r = 0; r < size; ++r) {
    lists.push_back({indices[static_cast<std::size_t>(r)], scores[static_cast<std::size_t>(r)]});
  }
  return best_neighbours(lists);
}

}  // namespace earmark::search
