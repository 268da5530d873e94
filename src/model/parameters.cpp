// SPDX-License-Identifier: Apache-2.0
#include "model/parameters.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/philox.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/large_pages.hpp"
#include "model/gradient_layout.hpp"

namespace polyphase {
namespace {

// Parameters start at multiples of 64 bytes unless they join the previous one.
constexpr std::int64_t kAlignedFloats = 16;

// FNV-1a: only to key the generator by the parameter's name.
std::uint64_t name_key(const std::string& name) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

// Standard normal number of an element, by Box and Muller's transform of two of its random words.
double normal(std::uint64_t key, std::int64_t element) {
  const PhiloxWords words = philox(key, static_cast<std::uint64_t>(element), 0);
  const double u = (words.word[0] + 1.0) / 4294967296.0;
  const double v = words.word[1] / 4294967296.0;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

// Writes values that the host makes, a block at a time: all of a large table, and what the
// allocator keeps of it for later, would be the largest piece of memory beside the parameters.
template <class Value>
void fill_from_host(Tensor1<float> to, const Value& value_of) {
  constexpr std::int64_t kBlock = 1 << 14;
  const auto count = static_cast<std::int64_t>(to.extent(0));
  std::vector<float> block;
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t end = std::min(begin + kBlock, count);
    block.clear();
    for (std::int64_t i = begin; i < end; ++i) block.push_back(value_of(i));
    copy_to_device(Exec(), Tensor1<float>(to.data() + begin, end - begin), block.data());
  }
}

}  // namespace

std::int64_t num_elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

Split split_evenly(std::int64_t whole, int part, int num_parts) {
  const std::int64_t begin = whole * part / num_parts;
  return {.begin = begin, .size = whole * (part + 1) / num_parts - begin};
}

static std::string beside_weight(const std::string& weight, const char* word) {
  constexpr const char* kWeight = ".weight";
  if (!weight.ends_with(kWeight)) return "";
  return weight.substr(0, weight.size() - std::string(kWeight).size()) + word;
}

std::string adapter_a(const std::string& weight) { return beside_weight(weight, ".lora_a"); }
std::string adapter_b(const std::string& weight) { return beside_weight(weight, ".lora_b"); }

bool is_adapter(const std::string& parameter) {
  return parameter.ends_with(".lora_a") || parameter.ends_with(".lora_b");
}

std::size_t ParameterSet::declare(const ParameterSpec& spec) {
  const std::size_t number = next_++;
  if (number < parameters_.size()) {
    POLYPHASE_PROMISE(at(number).spec.name == spec.name, "{} declared again as {}",
                      at(number).spec.name, spec.name);
    return number;
  }
  POLYPHASE_PROMISE(numbers_.emplace(spec.name, number).second, "parameter {} declared twice",
                    spec.name);
  Parameter parameter{.spec = spec, .chunks = chunks_, .local_shape = spec.global_shape};
  if (spec.split_dimension >= 0) parameter.local_shape[spec.split_dimension] = spec.split.size;
  place(parameter);
  parameters_.push_back(parameter);
  return number;
}

void ParameterSet::declare_again(const std::function<void()>& make) {
  next_ = 0;
  make();
  next_ = parameters_.size();
}

// Behind all that was placed before.
void ParameterSet::place(Parameter& parameter) {
  const auto is_here = [this](int chunk) { return stage_.stage_of(chunk) == stage_.number; };
  parameter.is_own = is_here(parameter.chunks.front());
  parameter.is_passed_on =
      std::any_of(parameter.chunks.begin() + 1, parameter.chunks.end(), is_here);
  parameter.count = parameter.is_here() ? num_elements(parameter.local_shape) : 0;
  if (!parameter.spec.joins_previous)
    total_count_ = (total_count_ + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
  parameter.offset = total_count_;
  total_count_ += parameter.count;
}

void ParameterSet::place_too(std::size_t number) {
  std::vector<int>& chunks = parameters_[number].chunks;
  chunks.insert(chunks.end(), chunks_.begin(), chunks_.end());
  std::ranges::sort(chunks);
  chunks.erase(std::unique(chunks.begin(), chunks.end()), chunks.end());
  total_count_ = 0;
  for (Parameter& parameter : parameters_) place(parameter);
}

bool ParameterSet::is_in_chunk(std::size_t number) const {
  return std::ranges::count(at(number).chunks, chunk_) > 0;
}

std::size_t ParameterSet::end_of_chunk() const {
  std::size_t end = parameters_.size();
  while (end > 0 && !begins_in_chunk(end - 1)) --end;
  return end;
}

void ParameterSet::allocate() {
  values_ = Kokkos::View<float*, Memory>(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "parameters"), total_count_);
  use_large_pages(values_.data(), values_.size() * sizeof(float));
  fill(Exec{}, values(), 0.0F);
}

void ParameterSet::place_gradients(const GradientLayout& layout) {
  for (std::size_t number = 0; number < parameters_.size(); ++number) {
    parameters_[number].gradient_offset = layout.offsets[number];
    parameters_[number].sum_offset =
        layout.sum_offsets.empty() ? layout.offsets[number] : layout.sum_offsets[number];
  }
  std::int64_t offset = 0;
  for (Parameter& parameter : parameters_) {
    if (!parameter.is_passed_on) continue;
    parameter.passed_on_offset = offset;
    offset += parameter.count;
  }
  passed_on_ = Kokkos::View<float*, Memory>(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "gradients passed on"), offset);
  gradients_.clear();
  gradient_memory_.clear();
  shared_arena_ = nullptr;
  beside_sets_ = {};
  stops_ = layout.stops;
  written_behind_ = layout.written_behind;
}

void ParameterSet::make_sets(std::int64_t count, std::size_t num_sets) {
  for (std::size_t set = 0; set < num_sets; ++set) {
    gradient_memory_.emplace_back(Kokkos::view_alloc(Kokkos::WithoutInitializing, "gradients"),
                                  count);
    use_large_pages(gradient_memory_.back().data(),
                    static_cast<std::size_t>(count) * sizeof(float));
    gradients_.emplace_back(gradient_memory_.back().data(), count);
  }
}

void ParameterSet::allocate_gradients(const GradientLayout& layout, std::size_t num_sets) {
  place_gradients(layout);
  make_sets(layout.count, num_sets);
}

void ParameterSet::share_gradients(const GradientLayout& layout, Arena& arena,
                                   std::size_t first_byte, std::size_t num_sets_of_share) {
  place_gradients(layout);
  const Tensor1<float> shared(reinterpret_cast<float*>(arena.data() + first_byte), layout.count);
  if (num_sets_of_share == 0) {
    gradients_.push_back(shared);
  } else {
    beside_sets_ = shared;
    make_sets(layout.sum_count, num_sets_of_share);
  }
  shared_arena_ = &arena;
  first_shared_byte_ = first_byte;
}

void ParameterSet::initialise(std::uint64_t seed, double standard_deviation) {
  for (const Parameter& parameter : parameters_) {
    const ParameterSpec& spec = parameter.spec;
    const std::uint64_t key = random_key(seed, Purpose::kInitialise, {name_key(spec.name)});
    const double deviation = spec.deviation > 0 ? spec.deviation : standard_deviation;
    const std::int64_t columns = parameter.local_shape.back();
    const std::int64_t global_columns = spec.global_shape.back();
    const bool rows_split = spec.split_dimension == 0 && spec.global_shape.size() == 2;
    const std::int64_t first_row = rows_split ? spec.split.begin : 0;
    const std::int64_t first_column =
        spec.split_dimension >= 0 && !rows_split ? spec.split.begin : 0;
    fill_from_host(
        Tensor1<float>(values_.data() + parameter.offset, parameter.count), [&](std::int64_t i) {
          if (spec.initial != Initial::kNormal) return spec.initial == Initial::kOne ? 1.0F : 0.0F;
          const std::int64_t row = first_row + i / columns, column = first_column + i % columns;
          return static_cast<float>(deviation * normal(key, row * global_columns + column));
        });
  }
}

const Parameter* ParameterSet::find(const std::string& name) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? nullptr : &parameters_[found->second];
}

bool ParameterSet::any_trained(std::size_t number, std::size_t span) const {
  const auto first = parameters_.begin() + static_cast<std::ptrdiff_t>(number);
  return std::any_of(first, first + static_cast<std::ptrdiff_t>(span),
                     [](const Parameter& parameter) { return parameter.trained; });
}

std::vector<StorageRange> ParameterSet::trained_ranges() const {
  std::vector<StorageRange> ranges;
  bool goes_on = false;
  for (std::size_t number = 0; number < parameters_.size(); ++number) {
    const std::int64_t end =
        number + 1 < parameters_.size() ? parameters_[number + 1].offset : total_count_;
    if (!parameters_[number].is_here()) continue;
    const bool trained = parameters_[number].is_trained_here();
    if (trained && goes_on) ranges.back().end = end;
    if (trained && !goes_on) ranges.push_back({parameters_[number].offset, end});
    goes_on = trained;
  }
  return ranges;
}

std::int64_t ParameterSet::global_count() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters_) count += num_elements(parameter.spec.global_shape);
  return count;
}

std::int64_t ParameterSet::count_passed_on() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters_)
    if (parameter.is_passed_on) count += parameter.count;
  return count;
}

// A view over several parameters needs them without gaps between them.
static std::int64_t span_count(const std::vector<Parameter>& parameters, std::size_t number,
                               std::size_t span) {
  std::int64_t count = 0;
  for (std::size_t i = number; i < number + span; ++i) {
    POLYPHASE_PROMISE(parameters[i].offset == parameters[number].offset + count,
                      "{} does not join its previous parameter", parameters[i].spec.name);
    count += parameters[i].count;
  }
  return count;
}

Tensor1<const float> ParameterSet::value1(std::size_t number) const {
  return value_span1(number, 1);
}

Tensor1<const float> ParameterSet::value_span1(std::size_t number, std::size_t span) const {
  wait_for_value(number, span);
  return Tensor1<const float>(values_.data() + parameters_[number].offset,
                              span_count(parameters_, number, span));
}

std::int64_t ParameterSet::count_between(std::size_t first, std::size_t end) const {
  return at(end - 1).offset + at(end - 1).count - at(first).offset;
}

Tensor1<const float> ParameterSet::values_between(std::size_t first, std::size_t end) const {
  wait_for_value(first, end - first);
  return Tensor1<const float>(values_.data() + at(first).offset, count_between(first, end));
}

bool ParameterSet::has_rounded(std::size_t number) const {
  return rounded_ != nullptr && rounded_->has(number);
}

Tensor1<const bf16> ParameterSet::rounded_span1(std::size_t number, std::size_t span) const {
  return Tensor1<const bf16>(rounded_->at(number), span_count(parameters_, number, span));
}

Tensor2<const bf16> ParameterSet::rounded2(std::size_t number, std::size_t span) const {
  const Tensor1<const bf16> all = rounded_span1(number, span);
  const auto columns = static_cast<std::size_t>(parameters_[number].local_shape[1]);
  return Tensor2<const bf16>(all.data(), all.extent(0) / columns, columns);
}

Tensor1<float> ParameterSet::values() const {
  wait_for_values_before(total_count_);
  return values_so_far();
}

void ParameterSet::wait_for_value(std::size_t number, std::size_t span) const {
  const Parameter& last = parameters_[number + span - 1];
  wait_for_values_before(last.offset + last.count);
}

void ParameterSet::wait_for_values_before(std::int64_t end) const {
  if (arriving_ == nullptr) return;
  arriving_->wait_for(end);
  if (arriving_->done()) arriving_.reset();
}

Tensor2<const float> ParameterSet::value2(std::size_t number, std::size_t span) const {
  const Tensor1<const float> all = value_span1(number, span);
  const auto columns = static_cast<std::size_t>(parameters_[number].local_shape[1]);
  return Tensor2<const float>(all.data(), all.extent(0) / columns, columns);
}

Tensor1<float> ParameterSet::gradients(std::size_t set) const { return gradients_[set]; }

void ParameterSet::begin_micro_batch(std::size_t set) {
  gradient_set_ = set;
  written_.assign(parameters_.size(), false);
  given_back_ = end_of_chunk();  // those of chunks behind it, earlier
}

Write ParameterSet::gradient_write(std::size_t number, std::size_t span) {
  if (written_[number]) return Write::kAccumulate;
  skip_gradients(number, span);
  if (!begins_in_chunk(number)) return Write::kOverwrite;
  if (writes_ != nullptr) writes_->hear(number, span);
  POLYPHASE_PROMISE(written_behind_.empty() || given_back_ <= written_behind_[number],
                    "the gradient of {} is written before those from parameter {} on are given "
                    "back, whose place it may take",
                    at(number).spec.name, written_behind_[number]);
  if (shared_arena_ != nullptr && at(number).gradient_offset >= 0) {
    shared_arena_->limit(first_shared_byte_ +
                         sizeof(float) * static_cast<std::size_t>(at(number).gradient_offset));
  }
  return Write::kOverwrite;
}

void ParameterSet::skip_gradients(std::size_t number, std::size_t span) {
  for (std::size_t i = number; i < number + span; ++i) written_[i] = true;
}

Tensor1<float> ParameterSet::gradient1(std::size_t number, std::size_t span) const {
  const std::int64_t count = span_count(parameters_, number, span);
  const bool begins = begins_in_chunk(number);
  const std::int64_t offset = begins ? at(number).gradient_offset : at(number).passed_on_offset;
  if (offset < 0) return Tensor1<float>(nullptr, count);
  return Tensor1<float>((begins ? written() : Tensor1<float>(passed_on_)).data() + offset, count);
}

Tensor2<float> ParameterSet::gradient2(std::size_t number, std::size_t span) const {
  const Tensor1<float> all = gradient1(number, span);
  const auto columns = static_cast<std::size_t>(parameters_[number].local_shape[1]);
  return Tensor2<float>(all.data(), all.extent(0) / columns, columns);
}

void ParameterSet::write_zeros(std::size_t first, std::size_t end) {
  for (std::size_t number = first; number < end; ++number) {
    if (written_[number] || !is_in_chunk(number)) continue;
    gradient_write(number);
    const Tensor1<float> gradient = gradient1(number);
    if (gradient.data() != nullptr) fill(Exec{}, gradient, 0.0F);
  }
}

void ParameterSet::check_all_written() const {
  for (std::size_t number = 0; number < parameters_.size(); ++number) {
    POLYPHASE_PROMISE(written_[number] || !is_in_chunk(number),
                      "no backward pass wrote the gradient of {}", parameters_[number].spec.name);
  }
}

}  // namespace polyphase
