// SPDX-License-Identifier: Apache-2.0
#include "kernels/rotary.hpp"

#include "kernels/for_rows.hpp"
#include "kernels/math.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

struct SineCosine {
  float sine, cosine;
};

// Of an angle in turns, without branches, so that loops over it vectorise. The nearest quarter of a
// turn is taken off, the rest is in [-pi/4, pi/4] and goes into Taylor's polynomials, whose first
// terms left out are below 2e-9 there.
KOKKOS_INLINE_FUNCTION SineCosine sine_cosine(double turns) {
  // Adding 1.5 · 2^52 leaves the rounded integer in the lowest bits of the sum.
  constexpr double kRounder = 6755399441055744.0;
  const double shifted = turns * 4.0 + kRounder;
  std::uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  const auto quarter = static_cast<std::uint32_t>(bits);
  const auto rest = static_cast<float>((turns * 4.0 - (shifted - kRounder)) * 1.5707963267948966);
  const float square = rest * rest;
  float sine = 2.7557319e-6F;  // 1/9!
  sine = sine * square - 1.9841270e-4F;
  sine = sine * square + 8.3333333e-3F;
  sine = sine * square - 1.6666667e-1F;
  sine = sine * square * rest + rest;
  float cosine = -2.7557319e-7F;  // 1/10!
  cosine = cosine * square + 2.4801587e-5F;
  cosine = cosine * square - 1.3888889e-3F;
  cosine = cosine * square + 4.1666667e-2F;
  cosine = cosine * square - 5.0e-1F;
  cosine = cosine * square + 1.0F;
  const bool odd = (quarter & 1U) != 0;
  const float up = odd ? cosine : sine, right = odd ? sine : cosine;
  return {(quarter & 2U) != 0 ? -up : up, ((quarter + 1U) & 2U) != 0 ? -right : right};
}

// Sines and cosines of one row for a chunk of pairs; its heads share them.
struct AngleChunk {
  std::int64_t begin, width;
  float sine[kColumnsPerChunk / Row::kLanes], cosine[kColumnsPerChunk / Row::kLanes];

  KOKKOS_INLINE_FUNCTION AngleChunk(const Row& row, std::int64_t first, std::int64_t num_pairs,
                                    const double* turns, double position, float sign)
      : begin(first), width(smaller(kColumnsPerChunk, num_pairs - first)) {
    row.each_slot<kColumnsPerChunk>(width, [&](std::int64_t c, std::int64_t slot) {
      const SineCosine values = sine_cosine(turns[begin + c] * position);
      sine[slot] = values.sine * sign;
      cosine[slot] = values.cosine;
    });
  }

  template <class Real>
  KOKKOS_INLINE_FUNCTION void rotate(const Row& row, Real* first, Real* second) const {
    row.each_slot<kColumnsPerChunk>(width, [&](std::int64_t c, std::int64_t slot) {
      const float a = to_float(first[begin + c]), b = to_float(second[begin + c]);
      first[begin + c] = from_float<Real>(a * cosine[slot] - b * sine[slot]);
      second[begin + c] = from_float<Real>(b * cosine[slot] + a * sine[slot]);
    });
  }
};

// How far a step of one position turns each pair.
void make_turns(const Exec& exec, Tensor1<double> turns, double theta) {
  const auto num_pairs = static_cast<std::int64_t>(turns.extent(0));
  double* const to = turns.data();
  for_elements(
      exec, num_pairs, KOKKOS_LAMBDA(std::int64_t d) {
        to[d] = math::pow(theta, -static_cast<double>(d) / static_cast<double>(num_pairs)) /
                6.283185307179586;
      });
}

}  // namespace

template <class Real>
void rotary(const Exec& exec, HeadColumns<Real> x, std::int64_t num_heads, std::int64_t head_width,
            Tensor1<const std::int32_t> positions_N, double theta, Direction direction) {
  const KernelRegion region("rotary");
  // Of the rows, the columns that are turned.
  note_moved(exec, Tensor2<Real>(nullptr, x.rows.extent(0), num_heads * head_width),
             Tensor2<Real>(nullptr, x.rows.extent(0), num_heads * head_width));
  const auto num_rows = static_cast<std::int64_t>(x.rows.extent(0));
  POLYPHASE_PROMISE(exec.arena != nullptr, "rotary needs an arena for its workspace");
  POLYPHASE_PROMISE(head_width % 2 == 0 && theta > 0.0 &&
                        x.first_column + num_heads * head_width <= x.row_stride() &&
                        static_cast<std::int64_t>(positions_N.extent(0)) >= num_rows,
                    "{} heads of width {} from column {} with base {} and {} positions do not fit "
                    "a {}x{} tensor",
                    num_heads, head_width, x.first_column, theta, positions_N.extent(0), num_rows,
                    x.rows.extent(1));
  const std::int64_t num_pairs = head_width / 2, stride = x.row_stride();
  const ArenaScope scope(*exec.arena);
  const auto turns_of_pairs = exec.arena->take1<double>(num_pairs);
  make_turns(exec, turns_of_pairs, theta);
  const double* const turns = turns_of_pairs.data();
  const std::int32_t* const positions = positions_N.data();
  Real* const data = x.rows.data() + x.first_column;
  const float sign = direction == Direction::kForward ? 1.0F : -1.0F;
  for_rows(
      exec, num_rows, KOKKOS_LAMBDA(const Row& row) {
        Real* const heads = data + row.index() * stride;
        const double position = positions[row.index()];
        for (std::int64_t begin = 0; begin < num_pairs; begin += kColumnsPerChunk) {
          const AngleChunk angles(row, begin, num_pairs, turns, position, sign);
          for (std::int64_t h = 0; h < num_heads; ++h) {
            angles.rotate(row, heads + h * head_width, heads + h * head_width + num_pairs);
          }
        }
      });
}

template void rotary<float>(const Exec&, HeadColumns<float>, std::int64_t, std::int64_t,
                            Tensor1<const std::int32_t>, double, Direction);
template void rotary<bf16>(const Exec&, HeadColumns<bf16>, std::int64_t, std::int64_t,
                           Tensor1<const std::int32_t>, double, Direction);

}  // namespace polyphase
