// SPDX-License-Identifier: Apache-2.0
#include "plan/machine.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.hpp"
#include "planned_recipe.hpp"

namespace polyphase {
namespace {

using recipe::Precision;

std::string fault_of(const std::string& text) {
  try {
    parse_machine(text, "m.yaml");
  } catch (const RecipeError& error) {
    return error.what();
  }
  return "none";
}

TEST(MachineFile, RatesGoWithTheLogarithmOfTheSize) {
  const ProductRates& rates = small_machine().rates.at(2).products_f32;
  EXPECT_DOUBLE_EQ(rates.at(10), 100);
  EXPECT_DOUBLE_EQ(rates.at(128), 100);
  EXPECT_DOUBLE_EQ(rates.at(256), 200);  // half way between 128 and 512
  EXPECT_DOUBLE_EQ(rates.at(512), 300);
  EXPECT_DOUBLE_EQ(rates.at(1e6), 300);
  EXPECT_DOUBLE_EQ(rates.best(), 300);
}

TEST(MachineFile, WhatIsNotGivenIsTakenFromWhatIs) {
  const NodeRates rates =
      parse_machine("rates: {1: {memory_gib: 4, memory_gb_s: 9, products_f32: {64: 10, 512: 30}}}",
                    "m.yaml")
          .rates.at(1);
  EXPECT_DOUBLE_EQ(rates.row_rate_gb_s(Precision::kF32), 9);
  EXPECT_DOUBLE_EQ(rates.attention_gflops(Precision::kF32), 10);
  EXPECT_DOUBLE_EQ(rates.peak_gflops(Precision::kBf16), 30);  // no bfloat16: float32's
  EXPECT_EQ(rates.products(Precision::kBf16).best(), 30);
}

TEST(MachineFile, FewerRanksHaveTheRatesOfTheNextNumberAndMoreShare) {
  Machine machine = small_machine();
  EXPECT_DOUBLE_EQ(machine.rates_for(1).memory_gb_s, 10);
  EXPECT_DOUBLE_EQ(machine.rates_for(64).memory_gb_s, 10);  // on 32 nodes
  machine.between.reset();
  const NodeRates crowded = machine.rates_for(8);
  EXPECT_DOUBLE_EQ(crowded.memory_gb_s, 2.5);
  EXPECT_DOUBLE_EQ(crowded.memory_gib, 0.25);
  EXPECT_DOUBLE_EQ(crowded.products_f32.best(), 75);
  EXPECT_DOUBLE_EQ(crowded.link->gb_s, 1);
}

TEST(MachineFile, FaultsHaveTheirPlaceAndARemedyAllAtOnce) {
  const std::string fault = fault_of(
      "ranks_a_node: 0\n"
      "storrage_gb_s: 1\n"
      "rates:\n"
      "  two: {memory_gib: 1, memory_gb_s: 1, products_f32: {512: 1}}\n"
      "  4: {memory_gib: 1, memory_gb_s: -1, products_f32: {500: 1}}\n");
  EXPECT_NE(fault.find("m.yaml:1:15: machine.ranks_a_node is \"0\"; expected a whole number of at "
                       "least 1"),
            std::string::npos)
      << fault;
  EXPECT_NE(fault.find("m.yaml:2:1: unknown key \"storrage_gb_s\" in machine; did you mean "
                       "\"storage_gb_s\"?"),
            std::string::npos)
      << fault;
  EXPECT_NE(fault.find("m.yaml:4:8: machine.rates.two: \"two\" is no number of ranks; write how "
                       "many ranks"),
            std::string::npos)
      << fault;
  EXPECT_NE(fault.find("m.yaml:5:35: machine.rates.4.memory_gb_s is \"-1\"; expected a number "
                       "greater than 0"),
            std::string::npos)
      << fault;
  EXPECT_NE(fault.find("unknown key \"500\" in machine.rates.4.products_f32"), std::string::npos)
      << fault;
}

TEST(MachineFile, WhatATimeCannotBeMadeWithoutIsAskedFor) {
  EXPECT_NE(fault_of("name: x").find("machine lacks the key \"rates\""), std::string::npos);
  EXPECT_NE(fault_of("rates: {}").find("at least one number of ranks"), std::string::npos);
  EXPECT_NE(fault_of("[1]").find("expected keys and values"), std::string::npos);
  const std::string fault = fault_of("rates: {2: {memory_gib: 1}}");
  EXPECT_NE(fault.find("lacks the key \"memory_gb_s\""), std::string::npos) << fault;
  const std::string no_link =
      fault_of("rates: {2: {memory_gib: 1, memory_gb_s: 1, products_f32: {512: 1}}}");
  EXPECT_NE(no_link.find("machine.rates.2 lacks the key \"link\""), std::string::npos) << no_link;
  const std::string no_products = fault_of("rates: {1: {memory_gib: 1, memory_gb_s: 1}}");
  EXPECT_NE(no_products.find("no rate of products"), std::string::npos) << no_products;
}

TEST(MachineFile, AMissingFileTellsHowToMakeOne) {
  try {
    read_machine("no/such.yaml");
    FAIL();
  } catch (const RecipeError& error) {
    EXPECT_NE(std::string(error.what()).find("scripts/bench --machine-file"), std::string::npos);
  }
}

}  // namespace
}  // namespace polyphase
