// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "kernels/attention.hpp"
#include "kernels/attention_portable.hpp"
#include "kernels/device.hpp"
#include "reference/attention.hpp"

// Random cases of attention, for the reference and for the kernels.
namespace polyphase::test {

using reference::Attention;

struct AttentionCase {
  std::vector<std::int32_t> starts;
  std::int64_t num_rows;
  std::int64_t num_heads = 2, head_width = 8, first_head = 0;
  bool causal = false;
  double rate = 0.0;
  std::int64_t num_key_heads = 0;             // 0: as many as there are of queries
  std::vector<std::int32_t> key_starts = {};  // empty: self attention
  std::int64_t num_key_rows = 0;
  std::vector<std::int32_t> prefix = {};
  std::int64_t num_buckets = 0;
  bool bidirectional = true;
  double max_distance = 128.0;
  double score_scale = 0.0;  // 0: 1/sqrt(D)
};

// Where a tensor of heads lies in the rows of a wider one.
struct Place {
  std::int64_t first_column, width;
};

inline std::vector<double> columns(const std::vector<double>& x, std::int64_t row_width,
                                   Place place) {
  std::vector<double> y;
  for (std::size_t begin = 0; begin < x.size(); begin += row_width) {
    const auto first = x.begin() + begin + place.first_column;
    y.insert(y.end(), first, first + place.width);
  }
  return y;
}

template <class Real>
Attention make(const AttentionCase& c) {
  Attention a;
  const bool self = c.key_starts.empty();
  a.starts = c.starts, a.num_rows = c.num_rows, a.prefix = c.prefix;
  a.key_starts = self ? c.starts : c.key_starts;
  a.num_key_rows = self ? c.num_rows : c.num_key_rows;
  a.num_heads = c.num_heads, a.head_width = c.head_width, a.first_head = c.first_head;
  a.num_key_heads = c.num_key_heads == 0 ? c.num_heads : c.num_key_heads;
  a.causal = c.causal, a.rate = c.rate, a.key = 17;
  a.bidirectional = c.bidirectional, a.max_distance = c.max_distance;
  a.score_scale =
      c.score_scale != 0.0 ? c.score_scale : 1.0F / std::sqrt(static_cast<float>(c.head_width));
  for (std::int64_t n = 0; n < c.num_rows; ++n) a.row_ids.push_back((5 << 16) + 3 * n);
  const std::int64_t w = a.width(), k = a.key_width();
  const auto x = random_reals(1, c.num_rows * (w + 2 * k));
  a.q = columns(x, w + 2 * k, {0, w});
  const auto y = self ? columns(x, w + 2 * k, {w, 2 * k}) : random_reals(3, a.num_key_rows * 2 * k);
  a.k = columns(y, 2 * k, {0, k});
  a.v = columns(y, 2 * k, {k, k});
  a.dout = random_reals(2, c.num_rows * w);
  a.table = random_reals(4, c.num_buckets * c.num_heads);
  a.precision = {kFloatEpsilon, kStoreError<Real>};
  return a;
}

struct Results {
  std::vector<double> out, log_sum, dq, dk, dv, dtable;
};

enum class Implementation { kFast, kPortable };

inline Sequences sequences_of(Device& device, const std::vector<std::int32_t>& starts,
                              const std::vector<std::int32_t>& prefix = {}) {
  Sequences sequences{starts, device.put(starts), 0};
  for (std::size_t b = 0; b + 1 < starts.size(); ++b) {
    sequences.max_tokens = std::max<std::int64_t>(sequences.max_tokens, starts[b + 1] - starts[b]);
  }
  sequences.prefix_host = prefix;
  if (!prefix.empty()) sequences.prefix = device.put(prefix);
  return sequences;
}

// A case in device memory. Queries, keys and values are columns of one tensor where all have the
// same rows, else of two tensors with columns between them that belong to nobody. Rows behind the
// last sequence and columns of nobody hold NaNs: nothing may read them.
template <class Real>
class AttentionOnDevice {
 public:
  // To nvcc these names are references to functions.
  using ForwardFunction = std::decay_t<decltype(attention_forward<Real>)>;
  using BackwardFunction = std::decay_t<decltype(attention_backward<Real>)>;

  explicit AttentionOnDevice(const Attention& a)
      : a_(a),
        one_tensor_(a.starts == a.key_starts),
        query_{one_tensor_ ? 0 : kGap, a.width()},
        key_{one_tensor_ ? a.width() : a.key_width() + kGap, a.key_width()},
        value_{one_tensor_ ? a.width() + a.key_width() : 0, a.key_width()},
        queries_(sequences_of(device_, a.starts, a.prefix)),
        keys_(sequences_of(device_, a.key_starts, a.prefix)) {
    const std::int64_t query_width = a.width() + (one_tensor_ ? 2 * a.key_width() : kGap);
    query_rows_ = nans(a.num_rows, query_width), dquery_rows_ = nans(a.num_rows, query_width);
    key_rows_ = query_rows_, dkey_rows_ = dquery_rows_;
    if (!one_tensor_) {
      const std::int64_t key_width = 2 * a.key_width() + kGap;
      key_rows_ = nans(a.num_key_rows, key_width), dkey_rows_ = nans(a.num_key_rows, key_width);
    }
    put(query_rows_, query_, a.q, a.starts.back());
    put(key_rows_, key_, a.k, a.key_starts.back());
    put(key_rows_, value_, a.v, a.key_starts.back());
  }

  Device& device() { return device_; }

  AttentionInput<Real> input() {
    AttentionInput<Real> input{
        .query = {query_rows_, query_.first_column},
        .key = {key_rows_, key_.first_column},
        .value = {key_rows_, value_.first_column},
        .queries = queries_,
        .keys = one_tensor_ ? queries_ : keys_,
        .shape = {.num_heads = a_.num_heads,
                  .num_key_heads = a_.num_key_heads,
                  .head_width = a_.head_width,
                  .first_head = a_.first_head,
                  .score_scale = static_cast<float>(a_.score_scale),
                  .causal = a_.causal},
        .positions = {.bidirectional = a_.bidirectional,
                      .max_distance = static_cast<std::int64_t>(a_.max_distance)}};
    if (!a_.table.empty()) {
      input.positions.table_UH = device_.put_real<float>(a_.table, a_.num_buckets(), a_.num_heads);
    }
    return input;
  }

  // The same with each sequence's keys in `room` rows of their own, as in a cache, and NaNs in the
  // rows of nobody behind them.
  AttentionInput<Real> input_with_room(std::int64_t room) {
    const std::int64_t width = a_.key_width(), num_sequences = keys_.num_sequences();
    std::vector<double> keys(num_sequences * room * width, std::nan("")), values = keys;
    std::vector<std::int32_t> starts{0}, lengths;
    for (std::int64_t b = 0; b < num_sequences; ++b) {
      const std::int64_t first = a_.key_starts[b] * width, last = a_.key_starts[b + 1] * width;
      std::copy(a_.k.begin() + first, a_.k.begin() + last, keys.begin() + b * room * width);
      std::copy(a_.v.begin() + first, a_.v.begin() + last, values.begin() + b * room * width);
      starts.push_back(static_cast<std::int32_t>((b + 1) * room));
      lengths.push_back(a_.key_starts[b + 1] - a_.key_starts[b]);
    }
    roomy_keys_ = sequences_of(device_, starts, a_.prefix);
    roomy_keys_.max_tokens = keys_.max_tokens;
    roomy_keys_.lengths_host = lengths, roomy_keys_.lengths = device_.put(lengths);
    const AttentionInput<Real> packed = input();
    return {.query = packed.query,
            .key = {device_.put_real<Real>(keys, num_sequences * room, width), 0},
            .value = {device_.put_real<Real>(values, num_sequences * room, width), 0},
            .queries = packed.queries,
            .keys = roomy_keys_,
            .shape = packed.shape,
            .positions = packed.positions};
  }

  // Of a forward pass without dropout.
  std::vector<double> output(ForwardFunction forward, const AttentionInput<Real>& input) {
    const auto out = device_.arena().take2<Real>(a_.num_rows, a_.width());
    const auto log_sum = device_.arena().take2<float>(a_.num_rows, a_.num_heads);
    forward(device_.exec(), out, log_sum, input, {});
    return device_.get_real(out);
  }

  Results run(Implementation which) {
    return which == Implementation::kFast
               ? run(attention_forward<Real>, attention_backward<Real>)
               : run(attention_forward_portable<Real>, attention_backward_portable<Real>);
  }

  // With other functions of the same contract.
  Results run(ForwardFunction forward, BackwardFunction backward) {
    const Exec exec = device_.exec();
    const AttentionInput<Real> in = input();
    const Dropout dropout{a_.key, static_cast<float>(a_.rate), device_.put(a_.row_ids)};
    std::vector<double> poisoned = a_.dout;
    for (std::size_t i = a_.starts.back() * a_.width(); i < poisoned.size(); ++i) {
      poisoned[i] = std::nan("");
    }
    const Tensor2<const Real> dout = device_.put_real<Real>(poisoned, a_.num_rows, a_.width());
    const auto out = device_.arena().take2<Real>(a_.num_rows, a_.width());
    const auto log_sum = device_.arena().take2<float>(a_.num_rows, a_.num_heads);
    const auto dtable = device_.arena().take2<float>(in.positions.table_UH.extent(0), a_.num_heads);
    forward(exec, out, log_sum, in, dropout);
    backward(exec, {dquery_rows_, query_.first_column}, {dkey_rows_, key_.first_column},
             {dkey_rows_, value_.first_column}, dtable, Write::kOverwrite, dout, out, log_sum, in,
             dropout);
    return {device_.get_real(out),
            device_.get_real(log_sum),
            take_columns(dquery_rows_, query_),
            take_columns(dkey_rows_, key_),
            take_columns(dkey_rows_, value_),
            device_.get_real(dtable)};
  }

  // Whether the columns of nobody still hold their NaNs among the gradients.
  bool left_the_rest_alone() {
    if (one_tensor_) return true;
    const auto all_nan = [&](const Tensor2<Real>& rows, Place place) {
      for (const double x : take_columns(rows, place)) {
        if (!std::isnan(x)) return false;
      }
      return true;
    };
    return all_nan(dquery_rows_, {0, kGap}) && all_nan(dkey_rows_, {a_.key_width(), kGap});
  }

 private:
  static constexpr std::int64_t kGap = 3;

  Tensor2<Real> nans(std::int64_t num_rows, std::int64_t num_columns) {
    const std::vector<double> values(num_rows * num_columns, std::nan(""));
    return device_.put_real<Real>(values, num_rows, num_columns);
  }
  void put(const Tensor2<Real>& to, Place place, const std::vector<double>& x,
           std::int64_t num_rows) {
    std::vector<Real> rows = device_.get(flat(to));
    for (std::int64_t n = 0; n < num_rows; ++n) {
      for (std::int64_t c = 0; c < place.width; ++c) {
        rows[n * to.extent(1) + place.first_column + c] =
            from_float<Real>(static_cast<float>(x[n * place.width + c]));
      }
    }
    copy_to_device<Real>(device_.exec(), flat(to), rows.data());
  }
  std::vector<double> take_columns(const Tensor2<Real>& x, Place place) {
    return columns(device_.get_real(x), static_cast<std::int64_t>(x.extent(1)), place);
  }

  Attention a_;
  bool one_tensor_;
  Place query_, key_, value_;
  Device device_;
  Sequences queries_, keys_, roomy_keys_;
  Tensor2<Real> query_rows_, key_rows_, dquery_rows_, dkey_rows_;
};

template <class Real>
Results run(const Attention& a, Implementation which) {
  return AttentionOnDevice<Real>(a).run(which);
}

inline void expect_as_reference(const Attention& a, const Results& actual) {
  const auto forward = a.forward();
  const auto backward = a.backward();
  expect_close("out", actual.out, forward.out.value, forward.out.error);
  expect_close("log_sum", actual.log_sum, forward.log_sum.value, forward.log_sum.error);
  expect_close("dq", actual.dq, backward.dq.value, backward.dq.error);
  expect_close("dk", actual.dk, backward.dk.value, backward.dk.error);
  expect_close("dv", actual.dv, backward.dv.value, backward.dv.error);
  expect_close("dtable", actual.dtable, backward.dtable.value, backward.dtable.error);
}

}  // namespace polyphase::test
