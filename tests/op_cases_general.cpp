// The operations of autograd/functions.h.
#include "autograd/functions.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using Inputs = std::span<const Variable>;
using kernels::Activation;

std::vector<OpCase> elementwise_cases() {
  const std::vector<Shape> pair{{3, 7}, {3, 7}};
  const std::vector<Shape> large{{64, 32, 48, 16}, {64, 32, 48, 16}};
  const std::vector<Shape> large1{{64, 32, 48, 16}};
  return {
      {"add/odd", pair, [](Inputs x) { return add(x[0], x[1]); }, {}, large, {0, 1}},
      {"add/same_twice", {{5}}, [](Inputs x) { return add(x[0], x[0]); }},
      {"add/beyond_one_task", {{257, 129}, {257, 129}}, [](Inputs x) { return add(x[0], x[1]); }, {}, {}, {0, 1}},
      {"sub/odd", pair, [](Inputs x) { return sub(x[0], x[1]); }, {}, large},
      {"sub/one_element", {{}, {}}, [](Inputs x) { return sub(x[0], x[1]); }},
      {"mul/odd", pair, [](Inputs x) { return mul(x[0], x[1]); }, {}, large},
      {"mul/square", {{4, 3}}, [](Inputs x) { return mul(x[0], x[0]); }},
      {"scale/odd", {{2, 1, 3, 1, 5, 1}}, [](Inputs x) { return scale(x[0], -2.5); }, {}, large1},
      {"scale/by_zero", {{3}}, [](Inputs x) { return scale(x[0], 0); }},
      {"relu/odd", {{3, 11}}, [](Inputs x) { return relu(x[0]); }, {Domain::away_from_zero}, large1},
      {"relu/ties", {{17}}, [](Inputs x) { return relu(x[0]); }, {Domain::ties}},
      {"elu/odd", {{3, 11}}, [](Inputs x) { return elu(x[0]); }, {Domain::away_from_zero}, large1},
      {"cast/to_double_and_back",
       {{3, 11}},
       [](Inputs x) { return cast(cast(x[0], DType::f64), x[0].value().dtype()); },
       {},
       {},
       {0}},
      {"elu/one_element", {{1}}, [](Inputs x) { return elu(x[0]); }, {Domain::ties}},
  };
}

std::vector<OpCase> layout_cases() {
  return {
      {"reshape/odd",
       {{2, 3, 5}},
       [](Inputs x) {
         return reshape(x[0], {5, 6});
       }},
      {"permute/channels_first",
       {{2, 3, 5, 7}},
       [](Inputs x) {
         return permute(x[0], {0, 3, 1, 2});
       },
       {},
       {{64, 32, 48, 32}}},
      {"permute/channels_last",
       {{2, 7, 3, 5}},
       [](Inputs x) {
         return permute(x[0], {0, 2, 3, 1});
       },
       {},
       {{64, 32, 32, 48}}},
      {"permute/reversed_six",
       {{2, 3, 1, 2, 4, 3}},
       [](Inputs x) {
         return permute(x[0], {5, 4, 3, 2, 1, 0});
       }},
      {"permute/rows_kept",
       {{3, 4, 5}},
       [](Inputs x) {
         return permute(x[0], {1, 0, 2});
       },
       {},
       {{64, 128, 48}}},
      {"permute/identity",
       {{3, 4}},
       [](Inputs x) {
         return permute(x[0], {0, 1});
       }},
      {"permute/scalar", {{}}, [](Inputs x) { return permute(x[0], std::span<const int>{}); }},
      {"sum/odd", {{3, 67}}, [](Inputs x) { return sum(x[0]); }, {}, {{64, 32, 48, 16}}},
      {"sum/scalar", {{}}, [](Inputs x) { return sum(x[0]); }},
      {"mean/odd", {{5, 1, 131}}, [](Inputs x) { return mean(x[0]); }, {}, {{64, 32, 48, 16}}},
  };
}

std::vector<OpCase> matrix_cases() {
  const auto plain = [](bool ta, bool tb) { return [=](Inputs x) { return matmul(x[0], x[1], ta, tb); }; };
  const auto grouped = [](Activation f) { return [=](Inputs x) { return grouped_linear(x[0], x[1], x[2], f); }; };
  return {
      {"matmul/odd", {{5, 7}, {7, 3}}, plain(false, false), {}, {{512, 512}, {512, 512}}},
      {"matmul/left_transposed", {{7, 5}, {7, 3}}, plain(true, false)},
      {"matmul/right_transposed", {{5, 7}, {3, 7}}, plain(false, true), {}, {{512, 128}, {512, 128}}},
      {"matmul/both_transposed", {{7, 5}, {3, 7}}, plain(true, true)},
      {"matmul/one_element", {{1, 1}, {1, 1}}, plain(false, false)},
      {"matmul/beyond_one_block", {{9, 300}, {300, 35}}, plain(false, false)},
      {"matmul/with_itself", {{4, 6}}, [](Inputs x) { return matmul(x[0], x[0], false, true); }},
      {"grouped_linear/odd", {{3, 5, 7}, {5, 4, 7}, {5, 4}}, grouped(Activation::none)},
      {"grouped_linear/elu",
       {{3, 5, 7}, {5, 4, 7}, {5, 4}},
       grouped(Activation::elu),
       {},
       {{128, 128, 48}, {128, 32, 48}, {128, 32}}},
      {"grouped_linear/one_output",
       {{3, 6, 8}, {6, 1, 8}, {6, 1}},
       grouped(Activation::none),
       {},
       {{128, 128, 32}, {128, 1, 32}, {128, 1}}},
      {"grouped_linear/one_output_elu", {{2, 3, 5}, {3, 1, 5}, {3, 1}}, grouped(Activation::elu)},
      {"grouped_linear/one_group", {{4, 1, 3}, {1, 2, 3}, {1, 2}}, grouped(Activation::elu)},
      {"l2_normalize/odd", {{3, 7}}, [](Inputs x) { return l2_normalize(x[0]); }, {}, {{128, 128}}},
      {"l2_normalize/long", {{2, 130}}, [](Inputs x) { return l2_normalize(x[0]); }},
      {"l2_normalize/one_column", {{3, 1}}, [](Inputs x) { return l2_normalize(x[0]); }, {Domain::positive}},
      {"l2_normalize/below_epsilon", {{2, 3}}, [](Inputs x) { return l2_normalize(x[0], 100); }},
  };
}

std::vector<OpCase> nt_xent_cases() {
  const auto whole = [](double tau) { return [=](Inputs x) { return nt_xent(x[0], tau).loss; }; };
  const auto local = [](std::int64_t offset) {
    return [=](Inputs x) { return nt_xent(x[0], x[1], offset, 0.2).loss; };
  };
  return {
      {"nt_xent/odd", {{6, 5}}, whole(0.1), {Domain::unit_rows}, {{512, 128}}},
      {"nt_xent/one_pair", {{2, 3}}, whole(0.5), {Domain::unit_rows}},
      {"nt_xent/ties", {{8, 4}}, whole(0.2), {Domain::ties}},
      {"nt_xent/cold", {{6, 5}}, whole(0.05), {Domain::unit_rows}},
      {"nt_xent/coldest", {{6, 5}}, whole(0.01), {Domain::unit_rows}},
      {"nt_xent/several_tiles", {{70, 3}}, whole(0.3), {Domain::unit_rows}},
      {"nt_xent/first_rank", {{4, 5}, {12, 5}}, local(0), {Domain::unit_rows, Domain::unit_rows}},
      {"nt_xent/middle_rank",
       {{4, 5}, {12, 5}},
       local(4),
       {Domain::unit_rows, Domain::unit_rows},
       {{128, 128}, {1024, 128}}},
      {"nt_xent/keys_beyond_one_tile", {{2, 3}, {300, 3}}, local(255), {Domain::unit_rows, Domain::unit_rows}},
  };
}

}  // namespace

std::vector<OpCase> general_op_cases() {
  std::vector<OpCase> all;
  for (auto part : {elementwise_cases, layout_cases, matrix_cases, nt_xent_cases}) {
    for (OpCase& c : part()) {
      all.push_back(std::move(c));
    }
  }
  return all;
}

}  // namespace earmark::testing
