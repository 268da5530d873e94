# SPDX-License-Identifier: Apache-2.0
"""Documentation names every key of a recipe, and its links lead somewhere."""
import os
import pathlib
import re
import unittest

SOURCE = pathlib.Path(os.environ["POLYPHASE_SOURCE"])
PAGES = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    .*$", "", text, flags=re.M))


def anchors(page):
    """Of its headings, as GitHub makes them: blanks become hyphens, punctuation goes."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class DocsTest(unittest.TestCase):
    def test_every_key_of_a_recipe_is_on_its_page(self):
        # The schema has a line a key: section.value("every_steps", …).
        keys = {(key, file.name) for file in (SOURCE / "src" / "recipe").glob("*.cpp")
                for key in re.findall(r'\b\w*section\.\w+\(\s*"(\w+)"', file.read_text())}
        self.assertGreater(len(keys), 150)
        page = (SOURCE / "docs" / "recipe.md").read_text()
        # In a heading, in front of a table's row, or as `{key: value}`.
        places = re.findall(r"^(?:#+ (.+)|\| (.+?) \|)", page, flags=re.M)
        named = {word for place in places for word in re.findall(r"\w+", " ".join(place))}
        named |= {word for code in re.findall(r"`([^`]+)`", page) for word in re.findall(r"(\w+):", code)}
        self.assertEqual([], sorted((key, file) for key, file in keys if key not in named))

    def test_links_lead_somewhere(self):
        broken, count = [], 0
        for page in PAGES:
            for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
                if re.match(r"[a-z]+:", target):
                    continue
                count += 1
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                if not file.exists() or anchor and anchor not in anchors(file):
                    broken.append(f"{page.name}: {target}")
        self.assertGreater(count, 100)
        self.assertEqual([], broken)


if __name__ == "__main__":
    unittest.main()
