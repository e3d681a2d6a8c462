"""Wrong and other right answers to the exercises of lesson 06."""

from mistakes import Mistake, Variant

SOFTMAX = "torch.softmax(logits / temperature, dim=-1)"
TOP_K = "torch.full_like(logits, -torch.inf).scatter(-1, places, values)"
NUCLEUS = "ordered.masked_fill(before >= p, -torch.inf)"
BACK = "torch.empty_like(logits).scatter(-1, places, ordered)"
DRAWN = "torch.multinomial(probas, num_samples=1, generator=generator)"
READ = "model(ids[:, -context_len:])[:, -1]"
APPEND = "torch.cat([ids, choose(logits)[:, None]], dim=1)"
KEEP = '    cache["keys"], cache["values"] = keys, values\n'
HEADS = "project(x).view(B, T, attention.num_heads, -1).transpose(1, 2)"

JOIN = """\
        keys = torch.cat([cache["keys"], keys], dim=2)  # old tokens first
        values = torch.cat([cache["values"], values], dim=2)
"""
JOIN_TURNED = """\
        keys = torch.cat([keys, cache["keys"]], dim=2)
        values = torch.cat([values, cache["values"]], dim=2)
"""

RECOMPUTES = """\
def cached_attention(attention, x, cache):
    B, T, C = x.shape
    cache["x"] = torch.cat([cache.get("x", x[:, :0]), x], dim=1)
    queries, keys, values = (
        w(cache["x"]).unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
        for w in (attention.W_query, attention.W_key, attention.W_value)
    )
    out = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    return attention.out_proj(out.transpose(1, 2).flatten(2))[:, -T:]
"""

WITH_LISTS = """\
def cached_attention(attention, x, cache):
    kept = cache.setdefault("pairs", [])
    outputs = []
    for t in range(x.shape[1]):
        row = x[:, t]
        shape = len(x), attention.num_heads, -1
        kept.append((attention.W_key(row).view(shape), attention.W_value(row)))
        keys = torch.stack([k for k, _ in kept], dim=2)
        values = torch.stack([v.view(shape) for _, v in kept], dim=2)
        query = attention.W_query(row).view(shape)[:, :, None]
        out = F.scaled_dot_product_attention(query, keys, values)
        outputs.append(out.flatten(1))
    return attention.out_proj(torch.stack(outputs, dim=1))
"""

READY_MADE = """\
def cached_attention(attention, x, cache):
    B, T, C = x.shape
    D = C // attention.num_heads
    for name in ("key", "value"):
        new = getattr(attention, f"W_{name}")(x)
        cache[name] = torch.cat([cache.get(name, x[:, :0]), new], dim=1)
    seen = cache["key"].shape[1]
    q, k, v = (
        y.unflatten(2, (-1, D)).transpose(1, 2)
        for y in (attention.W_query(x), cache["key"], cache["value"])
    )
    places = torch.arange(seen)
    mask = places <= places[-T:, None]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return attention.out_proj(out.transpose(1, 2).flatten(2))
"""

FIND = """\
    if not any(given is cache for given, _ in TEXTS):
        TEXTS.append((cache, {}))
    cache = next(kept for given, kept in TEXTS if given is cache)
"""

LOOP_BY_LISTS = """\
def find_loop(ids, context_len):
    for place in range(1, len(ids) - context_len + 1):
        for start in range(place):
            if ids[start : start + context_len] == ids[place : place + context_len]:
                return start, place - start
"""

MISTAKES = [
    Mistake("tempered_probas", SOFTMAX, "torch.softmax(logits, dim=-1)", "is ignored"),
    Mistake(
        "tempered_probas",
        f"return {SOFTMAX}",
        "probas = torch.softmax(logits, dim=-1) / temperature\n"
        "    return probas / probas.sum(dim=-1, keepdim=True)",
        says="the temperature is ignored",
    ),
    Mistake(
        "tempered_probas",
        SOFTMAX,
        "torch.softmax(logits, dim=-1) / temperature",
        says="the probabilities are divided",
    ),
    Mistake(
        "tempered_probas",
        "logits / temperature",
        "logits * temperature",
        says="the logits are multiplied",
    ),
    Mistake(
        "tempered_probas",
        SOFTMAX,
        "torch.softmax(torch.softmax(logits, dim=-1) / temperature, dim=-1)",
        says="softmax is taken twice",
    ),
    Mistake(
        "tempered_probas",
        SOFTMAX,
        "torch.softmax(logits, dim=-1) ** (1 / temperature)",
        says="do not sum to 1",
    ),
    Mistake("tempered_probas", SOFTMAX, "logits / temperature", says="logits come"),
    Mistake(
        "tempered_probas",
        SOFTMAX,
        SOFTMAX.replace("-1", "0"),
        says="over the wrong axis",
    ),
    Mistake(
        "tempered_probas",
        SOFTMAX,
        "(logits / temperature).flatten().softmax(0).view(logits.shape)",
        says="goes over a whole batch",
    ),
    Mistake(
        "tempered_probas",
        f"return {SOFTMAX}",
        "logits /= temperature\n    return torch.softmax(logits, dim=-1)",
        says="`logits` itself is changed",
    ),
    Mistake(
        "tempered_probas", "temperature == 0", "temperature < 0", says="there is a NaN"
    ),
    Mistake(
        "tempered_probas",
        "    if temperature == 0:",
        "    temperature = temperature or 1\n    if temperature == 0:",
        says="temperature 0 is taken for 1",
    ),
    Mistake(
        "tempered_probas",
        "return F.one_hot(likeliest, logits.shape[-1]).to(logits.dtype)",
        "return torch.full_like(logits, 1 / logits.shape[-1])",
        says="at temperature 0 all tokens are equally likely",
    ),
    Mistake(
        "tempered_probas",
        "return F.one_hot(likeliest, logits.shape[-1]).to(logits.dtype)",
        "return likeliest",
        says="should have the shape",
    ),
    Mistake("tempered_probas", ".to(logits.dtype)", "", says="whole numbers come"),
    Mistake("tempered_probas", f"return {SOFTMAX}", "pass", says="a `return` missing"),
    Mistake("keep_top_k", "topk(min(k,", "topk(min(k - 1,", says="one token too few"),
    Mistake("keep_top_k", "topk(min(k,", "topk(min(k + 1,", says="one token too many"),
    Mistake("keep_top_k", "min(k, logits.shape[-1])", "k", says="with k = 12 and 9"),
    Mistake(
        "keep_top_k", "dim=-1)", "dim=-1, largest=False)", says="k smallest are kept"
    ),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        "return logits.scatter(-1, places, -torch.inf)",
        says="the k largest are dropped",
    ),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        "return logits.masked_fill(logits < values[..., -1:], -torch.inf)",
        says="equal to the k-th",
    ),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        "return logits.masked_fill(logits <= values[..., -1:], -torch.inf)",
        says="one token too few",
    ),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        "return logits.masked_fill(logits < values.flatten(0, -2)[0, -1], -torch.inf)",
        says="one row's threshold is used for all",
    ),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        "return logits.masked_fill(logits < values.min(), -torch.inf)",
        says="the lowest row's threshold",
    ),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        "return logits.masked_fill(\n"
        "        logits < logits.flatten().topk(min(k, logits.numel())).values[-1],\n"
        "        -torch.inf,\n"
        "    )",
        says="in the whole batch",
    ),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        "of_first = places.flatten(0, -2)[:1].expand_as(places.flatten(0, -2))\n"
        "    places = of_first.view_as(places)\n"
        "    out = torch.full_like(logits, -torch.inf)\n"
        "    return out.scatter(-1, places, logits.gather(-1, places))",
        says="the tokens of the first row",
    ),
    Mistake("keep_top_k", "full_like(logits, -torch.inf)", "zeros_like(logits)", "0:"),
    Mistake("keep_top_k", "-torch.inf", "-1e9", says="a large negative number"),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        f"return torch.softmax({TOP_K}, dim=-1)",
        says="probabilities come back",
    ),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        "logits[logits < values[..., -1:]] = -torch.inf\n    return logits",
        says="`logits` itself is changed",
    ),
    Mistake("keep_top_k", f"return {TOP_K}", "return values", says="of the shape"),
    Mistake("keep_top_k", "places, values)", "places, values + 1)", says="are changed"),
    Mistake(
        "keep_top_k",
        f"return {TOP_K}",
        f"return {TOP_K}.sort(dim=-1, descending=True).values",
        says="at the wrong places",
    ),
    Mistake(
        "keep_top_p",
        NUCLEUS,
        "ordered.masked_fill(probas.cumsum(dim=-1) > p, -torch.inf)",
        says="top-p keeps one token too few",
    ),
    Mistake(
        "keep_top_p",
        NUCLEUS,
        "ordered.masked_fill(probas.cumsum(dim=-1) >= p, -torch.inf)\n"
        "    ordered[..., 0] = logits.amax(dim=-1)",
        says="top-p keeps one token too few wherever it keeps several",
    ),
    Mistake(
        "keep_top_p",
        "    ordered = ordered.masked_fill(",
        "    before = F.pad(before, (1, 0))[..., :-1]\n"
        "    ordered = ordered.masked_fill(",
        says="top-p keeps one token too many",
    ),
    Mistake(
        "keep_top_p",
        f"return {BACK}",
        "return ordered",
        says="at the wrong places",
    ),
    Mistake(
        "keep_top_p",
        f"return {BACK}",
        "return ordered.gather(-1, places)",
        says="at the wrong places",
    ),
    Mistake(
        "keep_top_p",
        "logits.sort(dim=-1, descending=True)",
        "logits, torch.arange(logits.shape[-1]).expand_as(logits)",
        says="in the order of the vocabulary: sort",
    ),
    Mistake(
        "keep_top_p",
        None,
        "def keep_top_p(logits, p):\n"
        "    sums = torch.softmax(logits, dim=-1).cumsum(dim=-1)\n"
        "    return logits.masked_fill(sums > p, -torch.inf)\n",
        says="and the token that crosses p is dropped",
    ),
    Mistake(
        "keep_top_p", ", descending=True", "", says="the least likely tokens come first"
    ),
    Mistake("keep_top_p", "before >= p", "before < p", says="the tail is kept"),
    Mistake(
        "keep_top_p",
        "before >= p",
        "probas < p",
        says="each token is judged by its own",
    ),
    Mistake("keep_top_p", "before >= p", "probas < 1 - p", says="by its own"),
    Mistake("keep_top_p", "before >= p", "before >= 1 - p", says="that is cut off"),
    Mistake("keep_top_p", "before >= p", "before >= p / 2", says="with p = 0.6 the"),
    Mistake(
        "keep_top_p",
        "torch.softmax(ordered, dim=-1)",
        "ordered",
        says="logits are added up",
    ),
    Mistake(
        "keep_top_p",
        f"return {BACK}",
        "is_kept = torch.empty_like(logits).scatter(-1, places, ordered).isfinite()"
        "\n    return logits.masked_fill(~is_kept.flatten(0, -2)[0], -torch.inf)",
        says="the tokens of the first row",
    ),
    Mistake(
        "keep_top_p",
        f"return {BACK}",
        "least = ordered.masked_fill(before >= p, torch.inf).amin(-1, keepdim=True)\n"
        "    return logits.masked_fill(logits < least, -torch.inf)",
        says="of 12 equally likely tokens 12 are kept",
    ),
    Mistake(
        "keep_top_p", "    if p == 1:", "    if p > 1:", says="with p = 1 tokens are"
    ),
    Mistake("keep_top_p", NUCLEUS, NUCLEUS.replace("-torch.inf", "0"), says="logit 0"),
    Mistake(
        "keep_top_p", NUCLEUS, NUCLEUS.replace("-torch.inf", "-1e4"), says="a large neg"
    ),
    Mistake(
        "keep_top_p",
        f"return {BACK}",
        f"return torch.softmax({BACK}, dim=-1)",
        says="probabilities come back",
    ),
    Mistake(
        "keep_top_p",
        f"return {BACK}",
        "logits.scatter_(-1, places, ordered)\n    return logits",
        says="`logits` itself is changed",
    ),
    Mistake(
        "draw_next",
        "tempered_probas(logits, temperature)",
        "torch.softmax(logits, dim=-1)",
        says="sampling ignores the temperature",
    ),
    Mistake(
        "draw_next",
        "tempered_probas(logits, temperature)",
        "torch.softmax(logits * temperature, dim=-1)",
        says="multiplied by the temperature",
    ),
    Mistake(
        "draw_next",
        "tempered_probas(logits, temperature)",
        "torch.softmax(tempered_probas(logits, temperature), dim=-1)",
        says="softmax is taken twice",
    ),
    Mistake(
        "draw_next",
        "tempered_probas(logits, temperature)",
        "tempered_probas(logits, temperature * 1.2)",
        says="which is no accident",
    ),
    Mistake("draw_next", DRAWN, "probas.argmax(dim=-1)[:, None]", says="always the"),
    Mistake(
        "draw_next",
        DRAWN,
        "torch.randint(probas.shape[1], (len(probas), 1), generator=generator)",
        says="tokens are drawn uniformly",
    ),
    Mistake(
        "draw_next",
        "probas = tempered_probas(logits, temperature)",
        "probas = logits.isfinite().float()",
        says="all tokens that are possible are drawn equally often",
    ),
    Mistake(
        "draw_next",
        "multinomial(probas,",
        "multinomial(probas[:1].expand_as(probas),",
        says="with the probabilities of the first",
    ),
    Mistake(
        "draw_next",
        DRAWN,
        "torch.searchsorted(\n"
        "        probas.cumsum(-1), torch.rand(1, 1, generator=generator)"
        ".repeat(len(probas), 1)\n    )",
        says="each row needs a draw of its own",
    ),
    Mistake("draw_next", ", generator=generator", "", says="the global generator is"),
    Mistake(
        "draw_next",
        "    drawn = ",
        "    generator.manual_seed(0)\n    drawn = ",
        says="the next call draws the same tokens again",
    ),
    Mistake(
        "draw_next",
        "generator=generator",
        "generator=torch.Generator().manual_seed(generator.initial_seed())",
        says="the next call draws the same tokens again",
    ),
    Mistake(
        "draw_next",
        "    drawn = ",
        "    generator = torch.Generator()\n    generator.seed()\n    drawn = ",
        says="the same seed brings other tokens",
    ),
    Mistake(
        "draw_next",
        None,
        "class Draw:\n"
        "    def __init__(self):\n"
        "        self.own = torch.Generator().manual_seed(0)\n"
        "        self.seen = []\n"
        "    def __call__(self, logits, temperature, generator):\n"
        "        if not any(g is generator for g in self.seen):\n"
        "            self.seen.append(generator)\n"
        "            self.own.manual_seed(0)\n"
        "        probas = tempered_probas(logits, temperature)\n"
        "        return torch.multinomial(probas, 1, generator=self.own)[:, 0]\n"
        "draw_next = Draw()\n",
        says="another seed brings the same tokens",
    ),
    Mistake("draw_next", "drawn[:, 0]", "drawn", says="a column: take its entries"),
    Mistake("draw_next", "drawn[:, 0]", "drawn[0, 0]", says="one for each row, not ()"),
    Mistake("draw_next", "drawn[:, 0]", "drawn[:, 0].tolist()", says="not list"),
    Mistake("draw_next", "drawn[:, 0]", "drawn[:, 0].int()", says="should be int64"),
    Mistake(
        "draw_next",
        "tempered_probas(logits, temperature)",
        "torch.softmax(logits / max(temperature, 0.1), dim=-1)",
        says="at temperature 0 other tokens",
    ),
    Mistake(
        "draw_next",
        "tempered_probas(logits, temperature)",
        "torch.softmax(logits / temperature, dim=-1)",
        says="stops with RuntimeError",
    ),
    Mistake(
        "draw_next",
        "    probas = ",
        "    logits[logits.isinf()] = 0\n    probas = ",
        says="`logits` itself is changed",
    ),
    Mistake("continue_text", "ids[:, -context_len:]", "ids", says="crop what it reads"),
    Mistake(
        "continue_text",
        "ids[:, -context_len:]",
        "ids[:, :context_len]",
        says="reads the first `context_len` tokens",
    ),
    Mistake(
        "continue_text", "-context_len:]", "-1:]", says="the model reads only the last"
    ),
    Mistake(
        "continue_text", "-context_len:]", "1 - context_len:]", says="one token too few"
    ),
    Mistake(
        "continue_text",
        "-context_len:]",
        "-context_len - 1:]",
        says="crop what it reads",
    ),
    Mistake(
        "continue_text",
        READ,
        "model(ids[:, : ids.shape[1] - _][:, -context_len:])[:, -1]",
        says="the prompt alone, again and again",
    ),
    Mistake("continue_text", "[:, -1]", "[:, 0]", says="of the first position"),
    Mistake("continue_text", READ, "model(ids[:, -context_len:])", says="(B, V)"),
    Mistake(
        "continue_text", "choose(logits)", "logits.argmax(dim=-1)", says="not asked"
    ),
    Mistake(
        "continue_text", "torch.no_grad()", "torch.enable_grad()", says="gradients"
    ),
    Mistake(
        "continue_text",
        "            logits = ",
        "            ids = ids[:, -context_len:]\n            logits = ",
        says="the beginning of the text is lost",
    ),
    Mistake(
        "continue_text",
        "    return ids",
        "    return ids[:, -num_new:] if num_new else ids[:, :0]",
        says="the prompt comes first",
    ),
    Mistake(
        "continue_text", "range(num_new)", "range(num_new - 1)", says="tokens come back"
    ),
    Mistake(
        "continue_text", "range(num_new)", "range(num_new + 1)", says="these make 10"
    ),
    Mistake(
        "continue_text",
        APPEND,
        "torch.cat([choose(logits)[:, None], ids], dim=1)",
        says="new tokens come before the prompt",
    ),
    Mistake(
        "continue_text",
        "        ids = torch.cat([ids, choose(logits)[:, None]], dim=1)",
        "        choose(logits)",
        says="nothing is appended",
    ),
    Mistake(
        "continue_text",
        "        ids = torch.cat(",
        "        choose(logits)\n        ids = torch.cat(",
        says="a draw too many",
    ),
    Mistake("continue_text", "    return ids", "    return ids[0]", says="(B, T + num"),
    Mistake("continue_text", "    return ids", "    pass", says="NoneType"),
    Mistake(
        "continue_text",
        "    for _ in range(num_new):\n",
        "    ids[:, 0] = 5\n    for _ in range(num_new):\n",
        says="the prompt is changed",
    ),
    Mistake("cached_attention", KEEP, "", says="old tokens are not seen"),
    Mistake(
        "cached_attention",
        KEEP,
        '    cache["keys"], cache["values"] = keys[:, :, -T:], values[:, :, -T:]\n',
        says="only the tokens of the call before are seen",
    ),
    Mistake(
        "cached_attention",
        JOIN,
        JOIN_TURNED,
        says="the new keys and values stand before the old",
    ),
    Mistake(
        "cached_attention",
        KEEP,
        KEEP.replace("    cache", "    if not cache:\n        cache"),
        says="only the tokens of the first call are seen",
    ),
    Mistake(
        "cached_attention",
        '[cache["keys"], keys]',
        '[keys, cache["keys"]]',
        says="keys and values are in different order",
    ),
    Mistake(
        "cached_attention", " / math.sqrt(queries.shape[-1])", "", says="are not scaled"
    ),
    Mistake(
        "cached_attention",
        "math.sqrt(queries.shape[-1])",
        "math.sqrt(C)",
        says="by the square root of C",
    ),
    Mistake(
        "cached_attention",
        "math.sqrt(queries.shape[-1])",
        "queries.shape[-1]",
        says="take its square root",
    ),
    Mistake(
        "cached_attention",
        "scores.masked_fill(~may_see, -torch.inf)",
        "scores",
        says="there is no mask",
    ),
    Mistake("cached_attention", "tril(seen - T)", "tril()", says="at the first key"),
    Mistake(
        "cached_attention", "tril(seen - T)", "tril(seen - T - 1)", says="see itself"
    ),
    Mistake(
        "cached_attention",
        "masked_fill(~may_see, -torch.inf)",
        "masked_fill(~may_see, 0)",
        says="masked scores are 0",
    ),
    Mistake(
        "cached_attention",
        "-torch.inf), dim=-1",
        "-torch.inf), dim=-2",
        says="the keys,",
    ),
    Mistake(
        "cached_attention",
        HEADS,
        "project(x).view(B, attention.num_heads, T, -1)",
        says="cut from the wrong axis",
    ),
    Mistake(
        "cached_attention",
        "(weights @ values).transpose(1, 2)",
        "weights @ values",
        says="joined in the wrong order",
    ),
    Mistake(
        "cached_attention",
        "return attention.out_proj(mixed.reshape(B, T, C))",
        "return mixed.reshape(B, T, C)",
        says="the last projection is missing",
    ),
    Mistake(
        "cached_attention",
        "attention.W_key, attention.W_value",
        "attention.W_key, attention.W_key",
        says="keys are used as values",
    ),
    Mistake(
        "cached_attention",
        None,
        "def cached_attention(attention, x, cache):\n    return attention(x)\n",
        says="`attention` itself is called",
    ),
    Mistake(
        "cached_attention",
        "    B, T, C = x.shape\n",
        "    new = x.shape[1]\n"
        "    cache['x'] = x = torch.cat([cache.get('x', x[:, :0]), x], dim=1)\n"
        "    cache = {}\n"
        "    B, T, C = x.shape\n",
        says="rows for all tokens come back",
    ),
    Mistake(
        "cached_attention", None, RECOMPUTES, says="15 keys or values are computed"
    ),
    Mistake(
        "cached_attention",
        None,
        "KEPT = {}\n" + READY_MADE.replace("B, T, C =", "cache = KEPT\n    B, T, C ="),
        says="a text sees what another has read",
    ),
    Mistake(
        "cached_attention",
        None,
        "TEXTS = []\n" + READY_MADE.replace("    B, T, C =", FIND + "    B, T, C ="),
        says="the cache that is handed over stays empty",
    ),
    Mistake(
        "cached_attention", "    return attention", "    attention", says="not NoneType"
    ),
    Mistake(
        "find_loop",
        None,
        LOOP_BY_LISTS.replace("range(place)", "range(place - context_len + 1)"),
        says="windows that overlap are not compared",
    ),
    Mistake("find_loop", "context_len + 1)", "context_len)", says="the last window is"),
    Mistake(
        "find_loop",
        "return start, place - start",
        "return place, place - start",
        "`start` is",
    ),
    Mistake(
        "find_loop", "return start, place - start", "return start, place", "again:"
    ),
    Mistake(
        "find_loop",
        "return start, place - start",
        "return place - start, start",
        "swap",
    ),
    Mistake(
        "find_loop",
        "return start, place - start",
        "return start, place - start - context_len",
        says="counted from the window's end",
    ),
    Mistake(
        "find_loop",
        "return start, place - start",
        "return start + 1, place - start",
        says="places are counted from 1",
    ),
    Mistake(
        "find_loop", "place + context_len])", "place + 1])", says="a single token that"
    ),
    Mistake(
        "find_loop",
        "place + context_len])",
        "place + context_len + 1])",
        says="one token too long",
    ),
    Mistake(
        "find_loop",
        "place + context_len])",
        "place + max(context_len - 1, 1)])",
        says="too short",
    ),
    Mistake(
        "find_loop",
        None,
        "def find_loop(ids, context_len):\n"
        "    places = range(len(ids) - context_len + 1)\n"
        "    for start in places:\n"
        "        for place in places[start + 1 :]:\n"
        "            if ids[start:][:context_len] == ids[place:][:context_len]:\n"
        "                return start, place - start\n",
        says="the first to close",
    ),
    Mistake(
        "find_loop",
        None,
        "def find_loop(ids, context_len):\n"
        "    places = range(len(ids) - context_len + 1)\n"
        "    for start in places:\n"
        "        for place in reversed(places[start + 1 :]):\n"
        "            if ids[start:][:context_len] == ids[place:][:context_len]:\n"
        "                return start, place - start\n",
        says="its last occurrence",
    ),
    Mistake("find_loop", "    return None", "    return 0, 0", says="no window comes"),
    Mistake(
        "find_loop", "return start, place - start", "return start", says="None should"
    ),
    Mistake("find_loop", "tuple(ids[", "list(ids[", says="stops with TypeError"),
    Mistake(
        "find_loop",
        "    first_places = {}",
        "    first_places = {}\n    ids.sort()",
        "changed",
    ),
    Mistake(
        "find_loop",
        "place - start",
        "'once'",
        says="(start, period) should be two ints",
    ),
    Mistake("find_loop", "place - start", "2 * place + 7", says="is found for [1"),
    Mistake(
        "keep_top_k",
        "min(k, logits.shape[-1])",
        "k if k <= logits.shape[-1] else logits.shape[-1] - 1",
        says="with k = 12 and 9 tokens something is dropped",
    ),
    Mistake("continue_text", "range(num_new)", "range(0)", says="is never called"),
    Mistake(
        "continue_text",
        "choose(logits)",
        "choose(logits.softmax(-1))",
        says="`choose` is given probabilities",
    ),
    Mistake(
        "continue_text",
        "choose(logits)",
        "choose(logits / 2)",
        says="other numbers than the model's logits",
    ),
    Mistake(
        "continue_text",
        "        with torch.no_grad():",
        "        torch.set_grad_enabled(False)\n        if True:",
        says="gradients stay switched off",
    ),
    Mistake(
        "draw_next", "drawn[:, 0]", "drawn.squeeze()", says="with one row a single"
    ),
    Mistake(
        "tempered_probas",
        f"return {SOFTMAX}",
        "powers = torch.exp(logits / temperature)\n"
        "    return powers / powers.sum(dim=-1, keepdim=True)",
        says="exp overflows at low temperatures",
    ),
    Mistake(
        "tempered_probas",
        "return F.one_hot(likeliest, logits.shape[-1]).to(logits.dtype)",
        "return F.one_hot(likeliest, logits.shape[-1]).float().numpy()",
        says="at temperature 0 a tensor of probabilities should come back, not ndarray",
    ),
    Mistake(
        "keep_top_p",
        "before >= p",
        "before > p",
        says="of 4 equally likely tokens 3 are kept",
    ),
    Mistake(
        "keep_top_p",
        f"    ordered = {NUCLEUS}",
        "    return logits.masked_fill(before >= p, -torch.inf)",
        says="the mask is in sorted order",
    ),
    Mistake(
        "keep_top_k",
        "    values, places = ",
        "    if k >= logits.shape[-1]:\n        return logits\n    values, places = ",
        says="`logits` itself comes back",
    ),
    Mistake(
        "find_loop",
        "tuple(ids[place : place + context_len])",
        "''.join(map(str, ids[place : place + context_len]))",
        says="only their digits in a row are the same",
    ),
    Mistake(
        "find_loop",
        "return start, place - start",
        "return start + 0.5, place - start",
        says="should be two ints",
    ),
    Mistake(
        "find_loop",
        None,
        "def find_loop(ids, context_len):\n    return None\n",
        says="no loop is found for [1, 2, 9",
    ),
]

VARIANTS = [
    Variant(
        "tempered_probas",
        f"return {SOFTMAX}",
        "powers = torch.softmax(logits, dim=-1) ** (1 / temperature)\n"
        "    return powers / powers.sum(dim=-1, keepdim=True)",
    ),
    Variant(
        "tempered_probas",
        None,
        "def tempered_probas(logits, temperature):\n"
        "    logits = logits - logits.amax(dim=-1, keepdim=True)\n"
        "    return torch.softmax(logits / max(temperature, 1e-9), dim=-1)\n",
    ),
    Variant(
        "keep_top_k",
        None,
        "def keep_top_k(logits, k):\n"
        "    places = logits.argsort(dim=-1, descending=True)\n"
        "    return logits.scatter(-1, places[..., k:], -torch.inf)\n",
    ),
    Variant(
        "keep_top_k",
        None,
        "def keep_top_k(logits, k):\n"
        "    rows = logits.clone().flatten(0, -2)\n"
        "    for row in rows:\n"
        "        row[row.argsort(stable=True).flip(0)[k:]] = float('-inf')\n"
        "    return rows.view_as(logits)\n",
    ),
    Variant(
        "keep_top_p",
        "ordered = ordered.masked_fill(before >= p, -torch.inf)",
        "dropped = torch.empty_like(probas, dtype=torch.bool)\n"
        "    dropped.scatter_(-1, places, before >= p)\n"
        "    return logits.masked_fill(dropped, -torch.inf)",
    ),
    Variant(
        "keep_top_p",
        None,
        "def keep_top_p(logits, p):\n"
        "    out = torch.full_like(logits, -torch.inf)\n"
        "    for old, new in zip(logits.flatten(0, -2), out.view(-1, out.shape[-1])):\n"
        "        total = 0.0\n"
        "        for i in old.argsort(descending=True).tolist():\n"
        "            if total >= p and p < 1:\n"
        "                break\n"
        "            new[i] = old[i]\n"
        "            total += old.softmax(-1)[i].item()\n"
        "    return out\n",
    ),
    Variant(
        "draw_next",
        "    return drawn[:, 0]",
        "    noise = torch.rand(probas.shape, generator=generator)\n"
        "    return (noise.log() / probas).argmax(dim=-1)",
    ),
    Variant(
        "draw_next",
        None,
        "def draw_next(logits, temperature, generator):\n"
        "    drawn = []\n"
        "    for probas in tempered_probas(logits, temperature):\n"
        "        places = probas.nonzero()[:, 0]\n"
        "        share = torch.rand((), generator=generator)\n"
        "        i = torch.searchsorted(probas[places].cumsum(0), share, right=True)\n"
        "        drawn.append(places[i.clamp(max=len(places) - 1)])\n"
        "    return torch.stack(drawn)\n",
    ),
    Variant(
        "draw_next",
        None,
        "def draw_next(logits, temperature, generator):\n"
        "    if temperature == 0:\n"
        "        return logits.argmax(dim=-1)\n"
        "    probas = torch.softmax(logits / temperature, dim=-1)\n"
        "    return torch.multinomial(probas, 1, generator=generator).squeeze(1)\n",
    ),
    Variant(
        "continue_text",
        None,
        "@torch.no_grad()\n"
        "def continue_text(model, ids, num_new, context_len, choose):\n"
        "    T = ids.shape[1]\n"
        "    text = torch.zeros(len(ids), T + num_new, dtype=torch.int64)\n"
        "    text[:, :T] = ids\n"
        "    for t in range(T, T + num_new):\n"
        "        logits = model(text[:, max(0, t - context_len) : t])\n"
        "        text[:, t] = choose(logits[:, -1, :])\n"
        "    return text\n",
    ),
    Variant("cached_attention", None, WITH_LISTS),
    Variant("cached_attention", None, READY_MADE),
    Variant("find_loop", None, LOOP_BY_LISTS),
    Variant(
        "find_loop",
        None,
        "def find_loop(ids, context_len):\n"
        "    if len(ids) < context_len:\n"
        "        return None\n"
        "    windows = torch.tensor(ids).unfold(0, context_len, 1)\n"
        "    for place in range(len(windows)):\n"
        "        same = (windows[:place] == windows[place]).all(dim=1).nonzero()\n"
        "        if len(same):\n"
        "            return same[0].item(), place - same[0].item()\n"
        "    return None\n",
    ),
    Variant(
        "continue_text",
        "torch.no_grad()",
        "torch.inference_mode()",
    ),
    Variant(  # one prompt after the other
        "continue_text",
        "model(ids[:, -context_len:])[:, -1]",
        "torch.cat([model(row[None, -context_len:])[:, -1] for row in ids])",
    ),
    Variant(
        "tempered_probas",
        f"return {SOFTMAX}",
        "powers = (logits - logits.amax(dim=-1, keepdim=True)).div(temperature).exp()\n"
        "    return powers / powers.sum(dim=-1, keepdim=True)",
    ),
    Variant(
        "keep_top_p",
        "before >= p",
        "F.pad(probas.cumsum(dim=-1), (1, -1)) >= p",
    ),
]
