#include "shadow.h"

#include <sys/mman.h>

#include <array>
#include <cstring>
#include <string>
#include <unordered_map>

#include "access.h"
#include "memory.h"
#include "report.h"
#include "streams.h"

namespace cudasim {
namespace {

ShadowWord* global_words = nullptr;

/// The bytes of split words.
std::unordered_map<const ShadowWord*, std::array<ShadowWord, 4>> parts;

/// Whether what `earlier` did is certain to be done when the thread at `now` does something.
bool is_ordered(const Toucher& earlier, const Moment& now) {
  if (earlier.work == 0) {
    return true;
  }
  if (earlier.work != now.work) {
    return work_is_ordered(earlier.work, now.work);
  }
  if (earlier.block != now.block || earlier.many_blocks) {
    return false;
  }
  if (earlier.barriers != now.barriers || (earlier.thread == now.thread && !earlier.many_threads)) {
    return true;
  }
  return met_in_warp(earlier.thread, now.thread, earlier.warp_clock);
}

/// The new toucher stands for all that were there before: those that are ordered before it need not be remembered, the
/// others make it one of many.
void note(Toucher& toucher, const Moment& now, const void* pc, bool atomic) {
  bool many_blocks = false;
  bool many_threads = false;
  if (toucher.work == now.work) {
    many_blocks = toucher.many_blocks || toucher.block != now.block;
    many_threads = toucher.block == now.block && !is_ordered(toucher, now);
  }
  const auto offset = reinterpret_cast<std::uintptr_t>(pc) - image().low;
  toucher = {
      now.work,   now.block, now.barriers, now.warp_clock, pc == nullptr ? 0 : static_cast<std::uint32_t>(offset),
      now.thread, atomic,    many_threads, many_blocks};
}

std::string culprit(const Toucher& other, const Moment& now) {
  std::string text;
  if (other.work != now.work) {
    text = "by '" + all_work[other.work].name + "' of another stream, with no event or synchronisation in between";
  } else if (other.block != now.block || other.many_blocks) {
    text = "by block " + std::to_string(other.block) + " of the same launch";
  } else {
    text = "by thread " + std::to_string(other.thread) + (other.many_threads ? " and others" : "") +
           " of the block, with no barrier in between";
  }
  if (other.pc != 0) {
    text += ", at " + line_of(reinterpret_cast<const void*>(image().low + other.pc));
  }
  return text;
}

const char* name_of(Kind kind) {
  return kind == Kind::read ? "read" : kind == Kind::write ? "write" : "atomic operation";
}

void report_race(const Toucher& other, const char* others_deed, const Place& place, Kind kind, const Moment& now,
                 const void* pc) {
  const char* const race = other.work != now.work                          ? "race-stream"
                           : other.block != now.block || other.many_blocks ? "race-grid"
                                                                           : "race-block";
  report(
      race,
      std::string(name_of(kind)) + " of " + describe(place) + " races with " + others_deed + " " + culprit(other, now),
      pc);
}

/// Shared memory begins anew with every block.
void forget_other_blocks(ShadowWord& word, const Moment& now) {
  const auto is_other = [&](const Toucher& t) { return t.work != now.work || t.block != now.block; };
  if (is_other(word.writer)) {
    word.writer = {};
    word.written = 0;
  }
  if (is_other(word.reader)) {
    word.reader = {};
  }
}

void judge(ShadowWord& word, unsigned bytes, const Place& place, Kind kind, const Moment& now, const void* pc) {
  if (place.space == Space::shared) {
    forget_other_blocks(word, now);
  }
  if (kind != Kind::write && (word.written & bytes) != bytes) [[unlikely]] {
    report(place.space == Space::shared ? "uninitialised-shared" : "uninitialised-global",
           std::string(name_of(kind)) + " of " + describe(place) + ", which was never written", pc);
  }
  if (!is_ordered(word.writer, now) && !(kind == Kind::atomic && word.writer.atomic)) [[unlikely]] {
    report_race(word.writer, "write", place, kind, now, pc);
  }
  if (kind == Kind::read) {
    return note(word.reader, now, pc, false);
  }
  if (!is_ordered(word.reader, now)) [[unlikely]] {
    report_race(word.reader, "read", place, kind, now, pc);
  }
  note(word.writer, now, pc, kind == Kind::atomic);
  word.written = static_cast<std::uint8_t>(word.written | bytes);
}

/// From the first access to a part of a word on, its bytes are judged one by one: neighbours may belong to different
/// threads, as two bf16 do.
void judge_parts(ShadowWord& word, unsigned bytes, const Place& place, Kind kind, const Moment& now, const void* pc) {
  std::array<ShadowWord, 4>& part = parts[&word];
  if (!word.split) {
    part.fill(word);
    word.split = true;
  }
  for (unsigned i = 0; i < 4; ++i) {
    if ((bytes >> i & 1U) != 0) {
      judge(part[i], 1U << i, place, kind, now, pc);
    }
  }
}

}  // namespace

std::string describe(const Place& place) {
  if (place.space == Space::global) {
    return describe(place.address);
  }
  if (place.variable == nullptr) {
    return "dynamic shared memory + " + std::to_string(place.address - place.base);
  }
  return "__shared__ '" + place.variable->name + "' + " +
         std::to_string(place.address - place.base - place.variable->offset);
}

void open_shadow(std::size_t arena_bytes) {
  void* place = mmap(nullptr, arena_bytes / 4 * sizeof(ShadowWord), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) {
    die("no address space to keep account of device memory");
  }
  global_words = static_cast<ShadowWord*>(place);
}

void forget_shadow(std::uintptr_t base, std::size_t bytes) {
  if (check_build()) {
    std::memset(static_cast<void*>(shadow_of(base)), 0, (bytes + 3) / 4 * sizeof(ShadowWord));
  }
}

ShadowWord* shadow_of(std::uintptr_t address) { return global_words + (address - detail::arena) / 4; }

void check_access(ShadowWord* words, const Place& place, std::size_t bytes, Kind kind, const Moment& moment,
                  const void* pc) {
  const std::uintptr_t end = place.address + bytes;
  for (std::uintptr_t at = place.address & ~std::uintptr_t{3}; at < end; at += 4, ++words) {
    const unsigned from = at < place.address ? static_cast<unsigned>(place.address - at) : 0;
    const unsigned to = end - at < 4 ? static_cast<unsigned>(end - at) : 4;
    const unsigned mask = (1U << to) - (1U << from);
    if (mask == 15 && !words->split) {
      judge(*words, mask, place, kind, moment, pc);
    } else {
      judge_parts(*words, mask, place, kind, moment, pc);
    }
  }
}

}  // namespace cudasim
