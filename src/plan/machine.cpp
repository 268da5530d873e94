// SPDX-License-Identifier: Apache-2.0
#include "plan/machine.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "recipe/document.hpp"
#include "recipe/section.hpp"

namespace polyphase {

using recipe::Section;

// Static rather than in an unnamed namespace, where argument-dependent lookup from Section would
// not find them.
static void describe(Section& section, Link& link) {
  section.require("gb_s", "what a rank sends in a second, in GB");
  section.value("latency_us", link.latency_us, recipe::at_least(0));
  section.value("gb_s", link.gb_s, recipe::positive());
}

static void describe(Section& section, ProductRates& rates) {
  for (std::size_t i = 0; i < ProductRates::kSizes.size(); ++i)
    section.value(fmt::format("{}", ProductRates::kSizes[i]), rates.gflops[i], recipe::positive());
}

static void describe(Section& section, NodeRates& rates) {
  section.require("memory_gib", "what a rank may use");
  section.require("memory_gb_s", "what a rank reads and writes in a second, in GB");
  section.value("threads", rates.threads, recipe::at_least(1));
  section.value("memory_gib", rates.memory_gib, recipe::positive());
  section.section("products_f32", rates.products_f32);
  section.section("products_bf16", rates.products_bf16);
  section.value("attention_f32", rates.attention_f32, recipe::positive());
  section.value("attention_bf16", rates.attention_bf16, recipe::positive());
  section.value("memory_gb_s", rates.memory_gb_s, recipe::positive());
  section.value("row_f32_gb_s", rates.row_f32_gb_s, recipe::positive());
  section.value("row_bf16_gb_s", rates.row_bf16_gb_s, recipe::positive());
  section.value("kernel_us", rates.kernel_us, recipe::at_least(0));
  section.section("link", rates.link);
  section.value("overlap", rates.overlap, recipe::fraction());
  section.value("peak_f32", rates.peak_f32, recipe::positive());
  section.value("peak_bf16", rates.peak_bf16, recipe::positive());
}

namespace {

// A machine's records before they are put in order.
struct MachineFile {
  Machine machine;
  std::vector<NodeRates> rates;
};

void describe(Section& section, MachineFile& file) {
  section.require("rates", "what a rank does in a second, by the number of ranks on its node");
  section.value("name", file.machine.name);
  section.value("ranks_a_node", file.machine.ranks_a_node, recipe::at_least(1));
  section.section("between", file.machine.between);
  section.value("storage_gb_s", file.machine.storage_gb_s, recipe::positive());
  section.sections_by_name("rates", file.rates);
}

std::optional<std::int64_t> number_of_ranks(const std::string& name) {
  std::int64_t number = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc() || stop != end || number < 1) return std::nullopt;
  return number;
}

void put_in_order(MachineFile& file, const std::map<std::string, recipe::Place>& places,
                  recipe::Faults& faults) {
  for (NodeRates& rates : file.rates) {
    const std::string path = "machine.rates." + rates.name;
    const recipe::Place place = places.at(path);
    const std::optional<std::int64_t> number = number_of_ranks(rates.name);
    if (!number) {
      faults.add(place, fmt::format("{}: {} is no number of ranks; write how many ranks of a node "
                                    "had these rates, such as 8",
                                    path, recipe::quoted(rates.name)));
      continue;
    }
    if (rates.products_f32.empty() && rates.products_bf16.empty()) {
      faults.add_unless_known(
          place, fmt::format("{} has no rate of products; give products_f32 or products_bf16, such "
                             "as {{512: 90, 2048: 110}}",
                             path));
    }
    if (*number > 1 && !rates.link) {
      faults.add_unless_known(
          place, fmt::format("{} lacks the key \"link\": latency_us and gb_s between ranks of a "
                             "node",
                             path));
    }
    file.machine.rates.emplace(*number, std::move(rates));
  }
}

// Log-linear between two sizes.
double between_sizes(double size, std::pair<double, double> below,
                     std::pair<double, double> above) {
  const double share = std::log(size / below.first) / std::log(above.first / below.first);
  return below.second + share * (above.second - below.second);
}

}  // namespace

bool ProductRates::empty() const { return best() == 0; }

double ProductRates::best() const {
  double most = 0;
  for (const std::optional<double>& rate : gflops) most = std::max(most, rate.value_or(0.0));
  return most;
}

double ProductRates::at(double size) const {
  std::optional<std::pair<double, double>> below;
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    if (!gflops[i]) continue;
    const std::pair<double, double> here(static_cast<double>(kSizes[i]), *gflops[i]);
    if (size <= here.first) return below ? between_sizes(size, *below, here) : here.second;
    below = here;
  }
  return below ? below->second : 0.0;
}

const ProductRates& NodeRates::products(recipe::Precision precision) const {
  const bool bf16 = precision == recipe::Precision::kBf16;
  const ProductRates &wanted = bf16 ? products_bf16 : products_f32,
                     &other = bf16 ? products_f32 : products_bf16;
  return wanted.empty() ? other : wanted;
}

double NodeRates::attention_gflops(recipe::Precision precision) const {
  const double given = precision == recipe::Precision::kBf16 ? attention_bf16 : attention_f32;
  return given > 0 ? given : products(precision).at(64);
}

double NodeRates::row_rate_gb_s(recipe::Precision precision) const {
  const double given = precision == recipe::Precision::kBf16 ? row_bf16_gb_s : row_f32_gb_s;
  return given > 0 ? given : memory_gb_s;
}

double NodeRates::peak_gflops(recipe::Precision precision) const {
  const double given = precision == recipe::Precision::kBf16 ? peak_bf16 : peak_f32;
  return given > 0 ? given : products(precision).best();
}

std::int64_t Machine::ranks_on_node(std::int64_t num_ranks) const {
  return between ? std::min(num_ranks, ranks_a_node) : num_ranks;
}

NodeRates Machine::rates_for(std::int64_t num_ranks) const {
  const std::int64_t here = ranks_on_node(num_ranks);
  const auto found = rates.lower_bound(here);
  if (found != rates.end()) return found->second;
  const auto& [most, measured] = *rates.rbegin();
  NodeRates shared = measured;
  const double share = static_cast<double>(most) / static_cast<double>(here);
  for (ProductRates* products : {&shared.products_f32, &shared.products_bf16}) {
    for (std::optional<double>& rate : products->gflops) {
      if (rate) *rate *= share;
    }
  }
  for (double* rate : {&shared.memory_gib, &shared.attention_f32, &shared.attention_bf16,
                       &shared.memory_gb_s, &shared.row_f32_gb_s, &shared.row_bf16_gb_s})
    *rate *= share;
  if (shared.link) shared.link->gb_s *= share;
  return shared;
}

Machine parse_machine(const std::string& yaml_text, const std::string& name_for_messages) {
  recipe::Faults faults;
  const recipe::Node root =
      recipe::parse_document(yaml_text, name_for_messages, recipe::Marks::kLineAndColumn, faults);
  if (root.kind != recipe::Node::Kind::kMap) {
    fail<RecipeError>("{}: the machine is {}; expected keys and values", root.place.text,
                      recipe::description(root));
  }
  std::map<std::string, recipe::Place> places;
  Section::Reading reading = {.faults = faults, .places = places};
  Section section = Section::reader(root, "machine", reading);
  MachineFile file;
  describe(section, file);
  section.finish();
  put_in_order(file, places, faults);
  faults.throw_if_any();
  if (file.machine.rates.empty()) {
    fail<RecipeError>(
        "{}: machine.rates is empty; give at least one number of ranks with its rates",
        root.place.text);
  }
  if (file.machine.name.empty()) file.machine.name = name_for_messages;
  return file.machine;
}

Machine read_machine(const std::string& path) {
  constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{1} << 20;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::is_regular_file(status)) {
    fail<RecipeError>(
        "{}: no such machine file; scripts/bench --machine-file {} measures this "
        "machine, and inputs/machines has others",
        path, path);
  }
  if (std::filesystem::file_size(path, error) > kMaxFileBytes)
    fail<RecipeError>("{}: larger than {} bytes: is this a machine file?", path, kMaxFileBytes);
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file.is_open() || file.bad())
    fail<RecipeError>("{}: cannot be read; are its permissions right?", path);
  return parse_machine(text.str(), path);
}

}  // namespace polyphase
