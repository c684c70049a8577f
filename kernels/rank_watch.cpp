#include "kernels/rank_watch.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/error.h"
#include "kernels/rank_failure.h"
#include "kernels/socket.h"

namespace earmark {

namespace {

constexpr std::chrono::milliseconds kBeat{200};

}  // namespace

RankWatch::RankWatch(std::shared_ptr<Communicator> ranks, std::function<std::string()> problem,
                     std::function<void()> stop)
    : ranks_(std::move(ranks)),
      problem_(std::move(problem)),
      stop_(std::move(stop)),
      known_(static_cast<std::size_t>(ranks_->size()), Known{0, Clock::now()}),
      exceptions_(std::uncaught_exceptions()),
      thread_([this] { watch(); }) {}

RankWatch::~RankWatch() {
  if (std::uncaught_exceptions() > exceptions_) {
    give_up();
  }
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void RankWatch::wait(const std::function<void()>& wait) {
  const auto note = [this](std::optional<Clock::time_point> since) {
    const std::scoped_lock lock(mutex_);
    waiting_since_ = since;
  };
  note(Clock::now());
  try {
    wait();
  } catch (const Error&) {
    note({});
    ask_ranks();  // where one has gone, this says more than the GPU does
    throw;
  }
  note({});
  if (!problem_().empty()) {  // then what was waited for is nothing
    ask_ranks();
  }
  check_ranks();
}

void RankWatch::check_ranks() {
  const std::scoped_lock lock(mutex_);
  if (failure_) {
    std::rethrow_exception(failure_);
  }
}

void RankWatch::ask_ranks() {
  std::unique_lock lock(mutex_);
  const std::int64_t question = ++asked_;
  changed_.notify_all();
  changed_.wait_for(lock, ranks_->timeout() + 2 * kBeat,
                    [&] { return failure_ != nullptr || over_ || answered_ >= question; });
  if (failure_) {
    std::rethrow_exception(failure_);
  }
}

void RankWatch::give_up() {
  {
    const std::scoped_lock lock(mutex_);
    given_up_ = true;
  }
  changed_.notify_all();
  ranks_->abandon();
}

void RankWatch::watch() {
  try {
    while (beat()) {
    }
  } catch (...) {
    fail_with(std::current_exception());
  }
  const std::scoped_lock lock(mutex_);
  over_ = true;
  changed_.notify_all();
}

void RankWatch::fail_with(std::exception_ptr why) {
  {
    const std::scoped_lock lock(mutex_);
    failure_ = std::move(why);
  }
  changed_.notify_all();
  ranks_->abandon();  // the others first: NCCL may take its time
  stop_();
}

bool RankWatch::beat() {
  std::int64_t ended = 0;
  std::int64_t question = 0;
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kBeat, [this] { return given_up_ || (ended_ && !end_told_) || asked_ > answered_; });
    question = asked_;
    end_told_ = ended_;
    check(!given_up_, "rank ", ranks_->rank(), " of ", ranks_->size(), " has given up");
    ended = ended_ ? 1 : 0;
  }
  const std::string problem = problem_();
  check_wait();
  const Tensor own = Tensor::from<std::int64_t>({1, 2}, std::array<std::int64_t, 2>{calls_, ended});
  const Tensor all({ranks_->size(), 2}, DType::i64);
  ranks_->all_gather(own, all);  // where a rank has gone it is named here
  check(problem.empty(), "rank ", ranks_->rank(), " of ", ranks_->size(), " cannot go on: ", problem);
  check_calls(all);
  const auto values = all.values<std::int64_t>();
  std::int64_t at_end = 0;
  for (std::size_t i = 1; i < values.size(); i += 2) {
    at_end += values[i];
  }
  const std::scoped_lock lock(mutex_);
  answered_ = question;
  changed_.notify_all();
  return at_end < ranks_->size();
}

void RankWatch::check_wait() {
  const std::scoped_lock lock(mutex_);
  check(!waiting_since_ || Clock::now() - *waiting_since_ <= ranks_->timeout(), "rank ", ranks_->rank(), " of ",
        ranks_->size(), " has waited for ", seconds_text(ranks_->timeout()),
        " for what the GPUs do together: one of them does not come to it");
}

void RankWatch::check_calls(const Tensor& all) {
  const auto now = Clock::now();
  const auto values = all.values<std::int64_t>();
  std::int64_t most = 0;
  for (std::size_t rank = 0; rank < known_.size(); ++rank) {
    most = std::max(most, values[2 * rank]);
  }
  for (std::size_t rank = 0; rank < known_.size(); ++rank) {
    const std::int64_t calls = values[2 * rank];
    if (calls != known_[rank].calls || calls == most) {
      known_[rank] = {calls, now};
    }
    check(now - known_[rank].since <= ranks_->timeout(),
          silent_rank(static_cast<int>(rank), ranks_->rank(), ranks_->size(), ranks_->timeout()));
  }
}

}  // namespace earmark
