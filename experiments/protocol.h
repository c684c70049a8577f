// What is measured: the conditions of the paper's Tables 1 and 2, and the figures it prints for them (Singh, Demuynck,
// Arora, "Attention-Based Audio Embeddings for Query-by-Example", ISMIR 2022).
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/distort.h"

namespace earmark::experiments {

/// One way of distorting a query. Names as in queries.csv: clean, noise, noise+reverb, reverb.
struct Condition {
  data::DistortionKind kind = data::DistortionKind::none;
  std::optional<double> snr_db;
  std::optional<double> rt60_s;

  std::string name() const;   ///< "noise+reverb"
  std::string label() const;  ///< "noise+reverb-snr10-rt0.5": part of a query's id.
};

inline constexpr std::array<double, 4> kSnrsDb = {0, 5, 10, 15};
inline constexpr std::array<double, 4> kLengthsS = {0.96, 2, 3, 5};
inline constexpr std::array<double, 5> kRt60sS = {0.2, 0.4, 0.5, 0.7, 0.8};
inline constexpr double kTableRt60S = 0.5;   ///< Of noise + reverb.
inline constexpr double kToleranceS = 0.05;  ///< Segment level: right file and at most this far off, inclusive.

/// Whether lengths, levels or times that were read from text are the same: up to 1e-9.
bool same_number(double a, double b);

/// clean, then noise and noise + reverb at 0 to 15 dB, then reverb: 14 conditions.
std::vector<Condition> protocol_conditions();
/// Direct-to-reverberant ratio of the paper's response with this RT60, dB; none for another RT60.
std::optional<double> paper_drr_db(double rt60_s);

/// A row of the paper: percent for each column of its table.
struct PaperRow {
  std::string name;
  std::vector<double> percent;
};
/// Table 1 (segment level, noise + reverb) at one of kLengthsS; columns kSnrsDb.
std::vector<PaperRow> paper_table_1(double length_s);
/// Table 2 (audio level) of one kind of distortion; columns kSnrsDb, or kRt60sS for reverb.
std::vector<PaperRow> paper_table_2(data::DistortionKind kind);

}  // namespace earmark::experiments
