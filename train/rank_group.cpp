#include "train/rank_group.h"

#include <poll.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "kernels/error.h"

namespace earmark::train {
namespace {

/// What the ranks themselves have left can only be asked for.
constexpr std::chrono::milliseconds kBetweenQuestions{20};

double seconds_of(RankGroup::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

RankGroup::RankGroup(const std::vector<RankPlan>& plans, Clock::duration grace, Console& console, SignalQueue& signals,
                     RankGuard& guard)
    : grace_(grace), console_(console), signals_(signals), guard_(guard) {
  members_.reserve(plans.size());
  for (const RankPlan& plan : plans) {
    start(plan);
  }
}

void RankGroup::start(const RankPlan& plan) {
  RankProcess process(plan.command, signals_.mask_before(), guard_);
  RankStream out(process.take_out(), plan.rank, console_, Console::Stream::out, plan.shown);
  RankStream err(process.take_err(), plan.rank, console_, Console::Stream::err, plan.shown);
  if (!plan.log_dir.empty()) {
    out.log_to(plan.log_dir / str("rank-", plan.rank, ".out"));
    err.log_to(plan.log_dir / str("rank-", plan.rank, ".err"));
  }
  members_.push_back({plan.rank, std::move(process), std::move(out), std::move(err)});
}

GroupEnd RankGroup::run() {
  while (!nothing_left()) {
    wait_for_news();
    read_signals();
    collect_ends();
    read_streams();
    check_console();
    kill_after_grace();
  }
  for (Member& member : members_) {
    member.out.finish();
    member.err.finish();
  }
  report();
  end_.all_well =
      std::all_of(members_.begin(), members_.end(), [](const Member& member) { return member.end->well(); });
  return end_;
}

void RankGroup::wait_for_news() {
  std::vector<pollfd> watched{{signals_.descriptor(), POLLIN, 0}};
  for (const Member& member : members_) {  // -1, once they are closed, is left out by poll
    watched.push_back({member.out.descriptor(), POLLIN, 0});
    watched.push_back({member.err.descriptor(), POLLIN, 0});
  }
  int timeout = -1;
  if (reaped_) {
    timeout = static_cast<int>(kBetweenQuestions.count());
  } else if (deadline_ && !killed_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
    timeout = static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, 60'000));
  }
  ::poll(watched.data(), watched.size(), timeout);
}

void RankGroup::read_signals() {
  while (const std::optional<int> signal = signals_.next()) {
    if (signal == SIGTSTP) {
      pause();
    } else if (signal == SIGUSR1 || signal == SIGUSR2) {
      signal_all(*signal);
    } else if (signal != SIGCHLD) {
      if (end_.signal == 0) {
        end_.signal = *signal;
        console_.say(str(signal_name(*signal), ": the ranks are told to end"));
      }
      end_all(*signal);
    }
  }
}

/// Ctrl-Z and what goes on after it.
void RankGroup::pause() {
  signal_all(SIGSTOP);
  std::raise(SIGSTOP);
  signal_all(SIGCONT);
}

void RankGroup::read_streams() {
  for (Member& member : members_) {
    member.out.read();
    member.err.read();
  }
}

void RankGroup::collect_ends() {
  std::vector<Member*> failed;
  for (Member& member : members_) {
    if (!member.end && (member.end = member.process.end()) && !member.end->well()) {
      failed.push_back(&member);
    }
  }
  if (!failed.empty() && !deadline_) {
    fail_with(std::move(failed));
  }
}

/// The first failures, seen at the same time: one that a signal killed has not failed because another one was gone.
void RankGroup::fail_with(std::vector<Member*> failed) {
  std::stable_partition(failed.begin(), failed.end(), [](const Member* member) { return member->end->by_signal; });
  for (Member* member : failed) {  // their lines come before what is said of them
    member->out.read_all();
    member->err.read_all();
  }
  const Member& first = *failed.front();
  first_failed_ = static_cast<std::size_t>(&first - members_.data());
  end_.failure = first.end;
  const auto running =
      std::count_if(members_.begin(), members_.end(), [](const Member& member) { return !member.end; });
  std::string others;
  for (std::size_t i = 1; i < failed.size(); ++i) {
    others += str("; rank ", failed[i]->rank, " too: ", describe(*failed[i]->end));
  }
  console_.say(str("rank ", first.rank, " failed: ", describe(*first.end), others,
                   running > 0 ? str("; the other ", running, running == 1 ? " is" : " are", " told to end") : ""));
  end_all(SIGTERM);
}

/// Nobody reads what the ranks write: they have time to save what they have.
void RankGroup::check_console() {
  if (!console_.problem().empty() && !deadline_) {
    end_all(SIGTERM);
  }
}

void RankGroup::end_all(int signal) {
  signal_all(signal);
  if (!deadline_) {
    deadline_ = Clock::now() + grace_;
    told_by_ = signal_name(signal);
  }
}

void RankGroup::kill_after_grace() {
  if (!deadline_ || killed_ || Clock::now() < *deadline_) {
    return;
  }
  for (const Member& member : members_) {
    if (!member.end) {
      console_.say(
          str("rank ", member.rank, " has not ended within ", seconds_of(grace_), " s of ", told_by_, ": killed"));
    }
  }
  killed_ = true;
  signal_all(SIGKILL);
}

bool RankGroup::all_ended() const {
  return std::all_of(members_.begin(), members_.end(), [](const Member& member) { return member.end.has_value(); });
}

/// Once all have ended: nothing that they had started runs. It is told to end as they were.
bool RankGroup::nothing_left() {
  if (!all_ended()) {
    return false;
  }
  if (!reaped_) {
    if (!deadline_) {
      end_all(SIGTERM);
    }
    guard_.forget();
    for (Member& member : members_) {
      member.process.reap();
    }
    reaped_ = true;
  }
  return killed_ || std::none_of(members_.begin(), members_.end(),
                                 [](const Member& member) { return member.process.left_something(); });
}

/// What became of ranks that did not end well, once all of their lines are there.
void RankGroup::report() {
  if (first_failed_) {
    show_last_lines(members_[*first_failed_]);
    return;
  }
  for (const Member& member : members_) {
    if (!member.end->by_signal && !member.end->well()) {  // signals were sent to them
      console_.say(str("rank ", member.rank, " ended with ", describe(*member.end)));
    }
  }
}

void RankGroup::show_last_lines(const Member& member) {
  const bool silent = member.err.last_lines().empty();
  const RankStream& stream = silent ? member.out : member.err;
  if (stream.last_lines().empty()) {
    console_.say(str("rank ", member.rank, " had written nothing"));
    return;
  }
  const std::string log = stream.log().empty() ? "" : str(" (all of them: ", stream.log().string(), ")");
  std::string lines =
      str("launch: the last lines of rank ", member.rank, silent ? ", standard output" : "", log, ":\n");
  for (const std::string& line : stream.last_lines()) {
    lines += stream.prefix();
    lines += line;
    lines += '\n';
  }
  console_.write(Console::Stream::err, lines);
}

void RankGroup::signal_all(int signal) const {
  for (const Member& member : members_) {
    if (!reaped_ || member.process.left_something()) {  // the number of a group that is gone may be another's
      member.process.signal(signal);
    }
  }
}

}  // namespace earmark::train
