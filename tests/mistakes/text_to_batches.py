"""Wrong and other right answers to the exercises of lesson 00."""

from mistakes import Mistake, Variant

SHUFFLE = "order = torch.randperm(len(inputs), generator=generator)"
GIVE = "yield inputs[rows], targets[rows]"
STORY_WINDOWS = "self.starts += [*range(start, last, stride), last]"
STREAMED = (
    "return [decoder.decode(tokenizer.decode_single_token_bytes(i)) for i in token_ids]"
)

MISTAKES = [
    Mistake(
        "num_windows",
        "num_tokens - context_len - 1",
        "num_tokens - context_len",
        says="the last target is forgotten",
    ),
    Mistake(
        "num_windows",
        "last_start // stride + 1",
        "last_start // stride",
        says="one window too few",
    ),
    Mistake(
        "num_windows",
        " if last_start >= 0 else 0",
        "",
        says="too short has no window",
    ),
    Mistake(
        "num_windows",
        "last_start // stride",
        "last_start // context_len",
        says="the stride is not looked at",
    ),
    Mistake(
        "num_windows",
        "return last_start // stride + 1 if last_start >= 0 else 0",
        "return num_tokens // stride",
        says="the last windows are not whole",
    ),
    Mistake(
        "num_windows",
        "last_start // stride",
        "last_start / stride",
        says="an int, not a float",
    ),
    Mistake(
        "num_windows",
        "return last_start // stride + 1 if last_start >= 0 else 0",
        "return int(last_start / stride) + 1",
        says="num_windows(8, 8, 8) should be 0, not 1",
    ),
    Mistake(
        "prediction_tasks",
        "(window[:i], window[i])",
        "(window[:i], window[i - 1])",
        says="the targets are not moved by one",
    ),
    Mistake(
        "prediction_tasks",
        "(window[:i], window[i])",
        "(window[: i + 1], window[i])",
        says="the targets are not moved by one",
    ),
    Mistake(
        "prediction_tasks",
        "return [(window[:i], window[i]) for i in range(1, len(window))]",
        "return list(zip(window, window[1:]))",
        says="a context should be a list of whole numbers",
    ),
    Mistake(
        "prediction_tasks",
        "range(1, len(window))",
        "range(len(window))",
        says="a context is empty",
    ),
    Mistake(
        "prediction_tasks",
        "range(1, len(window))",
        "range(1, len(window) - 1)",
        says="one task is missing",
    ),
    Mistake(
        "prediction_tasks",
        "(window[:i], window[i])",
        "([window[i - 1]], window[i])",
        says="each context holds one token",
    ),
    Mistake(
        "prediction_tasks",
        "return [(window[:i], window[i]) for i in range(1, len(window))]",
        "context, tasks = [], []\n"
        "    for token, target in zip(window, window[1:]):\n"
        "        context.append(token)\n"
        "        tasks.append((context, target))\n"
        "    return tasks",
        says="all contexts are one and the same list",
    ),
    Mistake(
        "prediction_tasks",
        "return [(window[:i], window[i]) for i in range(1, len(window))]",
        "tasks = []\n"
        "    while len(window) > 1:\n"
        "        target = window.pop()\n"
        "        tasks.insert(0, (list(window), target))\n"
        "    return tasks",
        says="`window` is changed",
    ),
    Mistake(
        "prediction_tasks",
        "range(1, len(window))",
        "range(len(window) - 1, 0, -1)",
        says="the shortest, of one token, comes first",
    ),
    Mistake(
        "join_documents",
        "    return torch.tensor(ids), starts",
        "    return torch.tensor(ids[:-1]), starts",
        says="the mark after the last text is missing",
    ),
    Mistake(
        "join_documents",
        "tokenizer.encode_ordinary(text)",
        "tokenizer.encode(text)",
        says="`encode` refuses a text with the letters of the mark",
    ),
    Mistake(
        "join_documents",
        "tokenizer.encode_ordinary(text)",
        "tokenizer.encode(text, allowed_special='all')",
        says="the letters of a text have become a mark",
    ),
    Mistake(
        "join_documents",
        "ids.append(end_id)",
        "ids += tokenizer.encode_ordinary('<|endoftext|>')",
        says="the marks are spelt in letters",
    ),
    Mistake(
        "join_documents",
        None,
        "def join_documents(texts, tokenizer, end_id):\n"
        "    text = '<|endoftext|>'.join(texts)\n"
        "    return torch.tensor(tokenizer.encode(text, allowed_special='all')), []\n",
        says="the letters of a text have become a mark",
    ),
    Mistake(
        "join_documents",
        "        ids.append(end_id)  # the number, not its letters\n",
        "        starts[-1] = len(ids)\n        ids.append(end_id)\n",
        says="the starts are the places of the marks",
    ),
    Mistake(
        "join_documents",
        "starts.append(len(ids))",
        "starts.append(text)",
        says="the starts should be a list of whole numbers",
    ),
    Mistake(
        "shuffled_batches",
        "order.split(batch_size)",
        "order.split(8)",
        says="from 12 windows, with batch_size=5",
    ),
    Mistake(
        "join_documents",
        "        starts.append(len(ids))",
        "        if not text:\n            continue\n        starts.append(len(ids))",
        says="the empty text is left out",
    ),
    Mistake(
        "join_documents",
        "        ids.append(end_id)",
        "        ids.append(50256)",
        says="the mark is always the same number",
    ),
    Mistake(
        "join_documents",
        "        ids.append(end_id)  # the number, not its letters\n",
        "        ids.append(end_id)\n        starts[-1] = len(ids)\n",
        says="the starts are the places behind the marks",
    ),
    Mistake(
        "join_documents",
        "torch.tensor(ids), starts",
        "ids, starts",
        says="the stream should be a tensor",
    ),
    Mistake(
        "join_documents",
        None,
        "def join_documents(texts, tokenizer, end_id):\n"
        "    rows = [torch.tensor(tokenizer.encode_ordinary(t)) for t in texts]\n"
        "    rows = [torch.cat([row, torch.tensor([end_id])]) for row in rows]\n"
        "    lengths = torch.tensor([0] + [len(row) for row in rows[:-1]])\n"
        "    return torch.cat(rows), lengths.cumsum(0).tolist()\n",
        says="should be int64, not float32",
    ),
    Mistake(
        "join_documents",
        "starts.append(len(ids))",
        "starts.append(len(ids) - len(starts))",
        says="the starts do not count the marks",
    ),
    Mistake(
        "all_windows",
        "windows[:, 1:]",
        "windows[:, :-1]",
        says="the targets are not moved by one",
    ),
    Mistake(
        "all_windows",
        "windows[:, :-1], windows[:, 1:]",
        "windows[:, 1:], windows[:, :-1]",
        says="inputs and targets are swapped",
    ),
    Mistake(
        "all_windows",
        "return windows[:, :-1], windows[:, 1:]",
        "return (tokens.unfold(0, context_len, stride),\n"
        "            tokens.roll(-1).unfold(0, context_len, stride))",
        says="there is a window too many",
    ),
    Mistake(
        "all_windows",
        "tokens.unfold(0, context_len + 1, stride)",
        "tokens[:-1].unfold(0, context_len + 1, stride)",
        says="the last window is missing",
    ),
    Mistake(
        "all_windows",
        "tokens.unfold(0, context_len + 1, stride)",
        "tokens.unfold(0, context_len, stride)",
        says="a window of T + 1 tokens makes T inputs",
    ),
    Mistake(
        "all_windows",
        "context_len + 1, stride)",
        "context_len + 1, context_len)",
        says="the windows begin every `context_len` tokens",
    ),
    Mistake(
        "all_windows",
        "windows[:, 1:]",
        "windows[:, :-1].roll(-1, 1)",
        says="the last target of each window is the window's first token",
    ),
    Mistake(
        "all_windows",
        "windows[:, :-1], windows[:, 1:]",
        "windows[:, :-1].T, windows[:, 1:].T",
        says="lie on their side",
    ),
    Mistake(
        "all_windows",
        None,
        "def all_windows(tokens, context_len, stride):\n"
        "    starts = range(0, len(tokens), stride)\n"
        "    inputs = [tokens[i : i + context_len] for i in starts]\n"
        "    targets = [tokens[i + 1 : i + context_len + 1] for i in starts]\n"
        "    return torch.stack(inputs), torch.stack(targets)\n",
        says="the windows are not all of one length",
    ),
    Mistake(
        "all_windows",
        "return windows[:, :-1], windows[:, 1:]",
        "return windows[:, :-1].tolist(), windows[:, 1:].tolist()",
        says="should be a tensor, not a list",
    ),
    Mistake(
        "shuffled_batches",
        SHUFFLE,
        "order = torch.arange(len(inputs))",
        says="the windows are not shuffled",
    ),
    Mistake(
        "shuffled_batches",
        GIVE,
        "yield inputs[rows], targets[rows[torch.randperm(len(rows), "
        "generator=generator)]]",
        says="the targets are not those of their inputs",
    ),
    Mistake(
        "shuffled_batches",
        ", generator=generator)",
        ")",
        says="drawn from the global generator",
    ),
    Mistake(
        "shuffled_batches",
        SHUFFLE,
        "order = torch.randint(len(inputs), (len(inputs),), generator=generator)",
        says="some windows come twice and others never",
    ),
    Mistake(
        "shuffled_batches",
        SHUFFLE,
        "order = torch.randperm(len(inputs), generator=generator.manual_seed(0))",
        says="the order is the same in every pass",
    ),
    Mistake(
        "shuffled_batches",
        "if len(rows) == batch_size or not drop_last:",
        "if True:",
        says="not full and `drop_last` is True",
    ),
    Mistake(
        "shuffled_batches",
        "if len(rows) == batch_size or not drop_last:",
        "if len(rows) == batch_size:",
        says="is left out although `drop_last` is False",
    ),
    Mistake(
        "shuffled_batches",
        "    for rows in order.split(batch_size):\n",
        "    whole = order.split(batch_size)\n"
        "    for rows in whole[:-1] if drop_last else whole:\n",
        says="a full last batch is dropped",
    ),
    Mistake(
        "shuffled_batches",
        "    for rows in order.split(batch_size):\n",
        "    for i in range(len(order) // batch_size + 1):\n"
        "        rows = order[i * batch_size : (i + 1) * batch_size]\n",
        says="the last batch is empty",
    ),
    Mistake(
        "shuffled_batches",
        SHUFFLE,
        "keep = len(inputs) // batch_size * batch_size if drop_last else len(inputs)\n"
        "    order = torch.randperm(keep, generator=generator)",
        says="leaves out the same windows in every pass",
    ),
    Mistake(
        "shuffled_batches",
        "    for rows in order.split(batch_size):\n",
        "    parts = torch.arange(len(inputs)).split(batch_size)\n"
        "    draw = torch.randperm(len(parts), generator=generator)\n"
        "    for rows in [parts[i] for i in draw]:\n",
        says="neighbouring windows still follow each other",
    ),
    Mistake(
        "shuffled_batches",
        "    for rows in order.split(batch_size):\n",
        "    for rows in torch.arange(len(inputs)).split(batch_size):\n"
        "        rows = rows[torch.randperm(len(rows), generator=generator)]\n",
        says="only within their batch",
    ),
    Mistake(
        "shuffled_batches",
        SHUFFLE,
        "order = torch.arange(len(inputs))\n"
        "    draw = torch.randperm(len(inputs), generator=generator)\n"
        "    inputs[:], targets[:] = inputs[draw], targets[draw]",
        says="are shuffled in place",
    ),
    Mistake(
        "shuffled_batches",
        SHUFFLE,
        "import random\n"
        "    order = torch.tensor(random.sample(range(len(inputs)), len(inputs)))",
        says="the order does not come from `generator`",
    ),
    Mistake(
        "shuffled_batches",
        GIVE,
        "yield inputs[rows]",
        says="a batch should be a pair",
    ),
    Mistake(
        "StoryWindows",
        STORY_WINDOWS,
        "pass\n        self.starts = list(range(0, len(tokens) - context_len, stride))",
        says="a window runs across the end of a story",
    ),
    Mistake(
        "StoryWindows",
        STORY_WINDOWS,
        "self.starts += range(start, last + 1, stride)",
        says="the ends of stories are lost",
    ),
    Mistake(
        "StoryWindows",
        "range(start, last, stride)",
        "range(start, last + 1, stride)",
        says="the same window comes twice",
    ),
    Mistake(
        "StoryWindows",
        "last = end - context_len - 1",
        "last = end - context_len - 2",
        says="the mark is never a target",
    ),
    Mistake(
        "StoryWindows",
        "[*starts[1:], len(tokens)]",
        "starts[1:]",
        says="the last story has no window",
    ),
    Mistake(
        "StoryWindows",
        "if last >= start:",
        "if last > start:",
        says="a story of exactly T + 1 tokens is left out",
    ),
    Mistake(
        "StoryWindows",
        "if last >= start:",
        "if True:",
        says="a window runs across the end of a story",
    ),
    Mistake(
        "StoryWindows",
        "return window[:-1], window[1:]",
        "return window[:-1], window[:-1]",
        says="the targets are not moved by one",
    ),
    Mistake(
        "StoryWindows",
        STORY_WINDOWS,
        "self.starts += [s for s in range(0, last, stride) if s >= start] + [last]",
        says="the strides are counted from the beginning of the stream",
    ),
    Mistake(
        "StoryWindows",
        "start = self.starts[index]",
        "start = self.starts[min(index, len(self) - 1)]",
        says="raise IndexError there",
    ),
    Mistake(
        "StoryWindows",
        "self.context_len + 1]",
        "self.context_len]",
        says="T + 1 tokens make T inputs and T targets",
    ),
    Mistake(
        "streamed_text",
        STREAMED,
        "return [tokenizer.decode([i]) for i in token_ids]",
        says="each token is decoded alone",
    ),
    Mistake(
        "streamed_text",
        'errors="replace"',
        'errors="strict"',
        says='a decoder with `errors="replace"` shows',
    ),
    Mistake(
        "streamed_text",
        'errors="replace"',
        'errors="ignore"',
        says="should show as one �",
    ),
    Mistake(
        "streamed_text",
        STREAMED,
        "row = [tokenizer.decode_single_token_bytes(i) for i in token_ids]\n"
        "    return [part.decode('utf-8') for part in row]",
        says="each token is decoded alone",
    ),
    Mistake(
        "streamed_text",
        STREAMED,
        "return [tokenizer.decode(token_ids)]",
        says="one string for each of 29 tokens should come back, not 1",
    ),
    Mistake(
        "streamed_text",
        STREAMED,
        "return [''] * (len(token_ids) - 1) + [tokenizer.decode(token_ids)]",
        says="the text is right, but not its timing",
    ),
    Mistake(
        "streamed_text",
        STREAMED,
        "pieces, waiting = [], []\n"
        "    for i in token_ids:\n"
        "        waiting.append(i)\n"
        "        text = tokenizer.decode(waiting)\n"
        "        ready = not text.endswith('�')\n"
        "        pieces.append(text if ready else '')\n"
        "        waiting = [] if ready else waiting\n"
        "    return pieces",
        says="a � that stands in the text is a character like any other",
    ),
    Mistake(
        "streamed_text",
        None,
        "shared = codecs.getincrementaldecoder('utf-8')('replace')\n"
        "def streamed_text(token_ids, tokenizer):\n"
        "    row = [tokenizer.decode_single_token_bytes(i) for i in token_ids]\n"
        "    return [shared.decode(part) for part in row]\n",
        says="bytes are left over from the call before",
    ),
    Mistake(
        "streamed_text",
        STREAMED,
        "return [p for p in [decoder.decode(tokenizer.decode_single_token_bytes(i)) "
        "for i in token_ids] if p]",
        says="completes no character has the empty string",
    ),
    Mistake(
        "join_documents",
        "torch.tensor(ids), starts",
        "torch.tensor(ids), torch.tensor(starts)",
        says="the starts should be a list of ints, not a tensor",
    ),
    Mistake(
        "shuffled_batches",
        SHUFFLE,
        "order = torch.arange(len(inputs))\n"
        "    for i in range(len(inputs) - 1, 1, -1):\n"
        "        j = int(torch.randint(1, i + 1, (1,), generator=generator))\n"
        "        order[i], order[j] = order[j].item(), order[i].item()",
        says="window 0 was never in batch 1",
    ),
    Mistake(
        "shuffled_batches",
        SHUFFLE,
        "half = len(inputs) // 2\n"
        "    low = torch.randperm(half, generator=generator)\n"
        "    high = torch.randperm(len(inputs) - half, generator=generator)\n"
        "    order = torch.cat([low, half + high])",
        says="window 0 was never in batch 2",
    ),
    Mistake(
        "shuffled_batches",
        "    for rows in order.split(batch_size):\n",
        "    if len(order) < batch_size and drop_last:\n"
        "        yield inputs[:0], targets[:0]\n"
        "    for rows in order.split(batch_size):\n",
        says="there is an empty batch",
    ),
    Mistake(
        "shuffled_batches",
        None,
        "def shuffled_batches(inputs, targets, batch_size, drop_last, generator):\n"
        "    keep = len(inputs)\n"
        "    if drop_last:\n"
        "        keep = keep // batch_size * batch_size\n"
        "    order = torch.randperm(keep, generator=generator)\n"
        "    return [(inputs[i], targets[i]) for i in order.split(batch_size)]\n",
        says="leaves out the same windows in every pass",
    ),
    Mistake(
        "StoryWindows",
        "        self.starts = []\n",
        "        self.starts = []\n        ends = starts\n"
        "        ends.append(len(tokens))\n        starts = starts[:-1]\n",
        says="`starts` is changed",
    ),
    Mistake(
        "StoryWindows",
        "return window[:-1], window[1:]",
        "pair = window[:-1].clone(), window[1:].clone()\n"
        "        window[-1] = 0 if index == len(self) - 1 else window[-1]\n"
        "        return pair",
        says="`tokens` is changed",
    ),
    Mistake(
        "streamed_text",
        STREAMED,
        "pieces, rest = [], b''\n"
        "    for i in token_ids:\n"
        "        rest += tokenizer.decode_single_token_bytes(i)\n"
        "        try:\n"
        "            text, rest = rest.decode('utf-8'), b''\n"
        "        except UnicodeDecodeError as error:\n"
        "            if error.reason == 'unexpected end of data':\n"
        "                text = rest[: error.start].decode('utf-8')\n"
        "                rest = rest[error.start :]\n"
        "            else:\n"
        "                text, rest = rest.decode('utf-8', 'replace'), b''\n"
        "        pieces.append(text)\n"
        "    return pieces",
        says="an unfinished character behind them waits for its rest",
    ),
]

VARIANTS = [
    Variant(
        "num_windows",
        "return last_start // stride + 1 if last_start >= 0 else 0",
        "return len(range(0, num_tokens - context_len, stride))",
    ),
    Variant(
        "num_windows",
        "return last_start // stride + 1 if last_start >= 0 else 0",
        "return max(0, -(-(num_tokens - context_len) // stride))",
    ),
    Variant(
        "prediction_tasks",
        "return [(window[:i], window[i]) for i in range(1, len(window))]",
        "context, tasks = [], []\n"
        "    for token, target in zip(window, window[1:]):\n"
        "        context.append(token)\n"
        "        tasks.append([context.copy(), target])\n"
        "    return tasks",
    ),
    Variant(
        "join_documents",
        None,
        "def join_documents(texts, tokenizer, end_id):\n"
        "    rows = [\n"
        "        torch.tensor([*tokenizer.encode(t, disallowed_special=()), end_id])\n"
        "        for t in texts\n"
        "    ]\n"
        "    lengths = torch.tensor([0] + [len(row) for row in rows[:-1]])\n"
        "    return [torch.cat(rows), lengths.cumsum(0).tolist()]\n",
    ),
    Variant(
        "all_windows",
        None,
        "def all_windows(tokens, context_len, stride):\n"
        "    inputs, targets = [], []\n"
        "    for start in range(0, len(tokens) - context_len, stride):\n"
        "        inputs.append(tokens[start : start + context_len])\n"
        "        targets.append(tokens[start + 1 : start + context_len + 1])\n"
        "    return torch.stack(inputs), torch.stack(targets)\n",
    ),
    Variant(
        "all_windows",
        None,
        "def all_windows(tokens, context_len, stride):\n"
        "    starts = torch.arange(0, len(tokens) - context_len, stride)\n"
        "    rows = starts[:, None] + torch.arange(context_len)\n"
        "    return tokens[rows], tokens[rows + 1]\n",
    ),
    Variant(
        "shuffled_batches",
        None,
        "def shuffled_batches(inputs, targets, batch_size, drop_last, generator):\n"
        "    from torch.utils.data import DataLoader, TensorDataset\n"
        "    return list(DataLoader(TensorDataset(inputs, targets), batch_size,\n"
        "        shuffle=True, drop_last=drop_last, generator=generator))\n",
    ),
    Variant(
        "shuffled_batches",
        SHUFFLE,
        "order = torch.rand(len(inputs), generator=generator).argsort()",
    ),
    Variant(
        "shuffled_batches",
        SHUFFLE,
        "import random\n"
        "    seed = torch.randint(2**31, (1,), generator=generator).item()\n"
        "    order = list(range(len(inputs)))\n"
        "    random.Random(seed).shuffle(order)\n"
        "    order = torch.tensor(order)",
    ),
    Variant(
        "StoryWindows",
        None,
        "class StoryWindows(Dataset):\n"
        "    def __init__(self, tokens, starts, context_len, stride):\n"
        "        self.windows = []\n"
        "        for story in torch.tensor_split(tokens, starts[1:]):\n"
        "            if len(story) <= context_len:\n"
        "                continue\n"
        "            rows = list(story.unfold(0, context_len + 1, stride))\n"
        "            if (len(story) - context_len - 1) % stride:\n"
        "                rows.append(story[-context_len - 1 :])\n"
        "            self.windows += [(row[:-1], row[1:]) for row in rows]\n"
        "    def __len__(self):\n"
        "        return len(self.windows)\n"
        "    def __getitem__(self, index):\n"
        "        return self.windows[index]\n",
    ),
    Variant(
        "streamed_text",
        STREAMED,
        "texts, shown = [], ''\n"
        "    for n in range(1, len(token_ids) + 1):\n"
        "        decoder.reset()\n"
        "        text = decoder.decode(tokenizer.decode_bytes(token_ids[:n]))\n"
        "        texts.append(text[len(shown) :])\n"
        "        shown = text\n"
        "    return texts",
    ),
    Variant(
        "prediction_tasks",
        "return [(window[:i], window[i]) for i in range(1, len(window))]",
        "return tuple((tuple(window[:i]), window[i]) for i in range(1, len(window)))",
    ),
    Variant(
        "shuffled_batches",
        SHUFFLE,
        "order = torch.arange(len(inputs))\n"
        "    for i in range(len(inputs) - 1, 0, -1):\n"
        "        j = int(torch.randint(i + 1, (1,), generator=generator))\n"
        "        order[i], order[j] = order[j].item(), order[i].item()",
    ),
    Variant(
        "streamed_text",
        STREAMED,
        "pieces, rest = [], b''\n"
        "    for i in token_ids:\n"
        "        rest += tokenizer.decode_single_token_bytes(i)\n"
        "        text = ''\n"
        "        while rest:\n"
        "            try:\n"
        "                text, rest = text + rest.decode('utf-8'), b''\n"
        "            except UnicodeDecodeError as error:\n"
        "                text += rest[: error.start].decode('utf-8')\n"
        "                if error.reason == 'unexpected end of data':\n"
        "                    rest = rest[error.start :]\n"
        "                    break\n"
        "                text, rest = text + '�', rest[error.end :]\n"
        "        pieces.append(text)\n"
        "    return pieces",
    ),
]
