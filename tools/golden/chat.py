#!/usr/bin/env python3
"""Makes golden/tokens/chat/cases.json: chat templates, conversations and the text transformers makes of them.

    tools/golden/chat.py golden/tokens/chat

Needs transformers 5.14.1 and jinja2 3.1.6. The templates and conversations are those of chat_cases.py; the date is fixed.
A text of null says that the template refuses the conversation. Also checks that chat_cases.environment, which the
comparison of random templates uses, gives what transformers gives.
"""

import json
import sys
from pathlib import Path

import chat_cases
from transformers.utils import chat_template_utils


def by_transformers(template, messages, add, variables):
    try:
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[messages], chat_template=template, add_generation_prompt=add,
            **{**chat_cases.SPECIAL, "strftime_now": chat_cases.NOW.strftime, **variables})
        return rendered[0]
    except Exception:  # noqa: BLE001: Python's own errors are refusals too
        return None


def main(folder):
    environment = chat_cases.environment()
    texts = []
    for name, template, messages, add, variables in chat_cases.cases():
        text = by_transformers(template, messages, add, variables)
        if text != chat_cases.render(environment, template, messages, add, variables):
            raise SystemExit(f"{name}: chat_cases.environment differs from transformers")
        texts.append({"case": name, "text": text})
    document = {
        "templates": chat_cases.TEMPLATES,
        "conversations": chat_cases.CONVERSATIONS,
        "variables": chat_cases.VARIABLES,
        "now": [*chat_cases.NOW.timetuple()[:6]],
        "texts": texts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    print(f"{len(texts)} texts, {sum(text['text'] is None for text in texts)} refused")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
