"""Wrong and other right answers to the exercises of lesson 01."""

from mistakes import Mistake, Variant

LARGEST = "    largest = logits.max(dim=-1, keepdim=True).values\n"

PICK = "probas.gather(-1, targets.unsqueeze(-1)).squeeze(-1)"

LOSS = "(log_sum - true_logits).mean()"

LOG_SUM = "largest + (logits - largest).exp().sum(dim=-1, keepdim=True).log()"

OF_PROBABILITIES = """\
def cross_entropy(logits, targets):
    probas = softmax(logits)
    return -probas.gather(-1, targets.unsqueeze(-1)).log().mean()
"""

TOTAL_BITS = "loss * len(target_ids) / math.log(2)"

BYTES = "sum(len(tokenizer.decode_single_token_bytes(i)) for i in target_ids)"

RESULT = "gradient * counts.unsqueeze(-1) / counts.sum()"

SCATTER = (
    "gradient.scatter_add_(-1, index, torch.full_like(index, -1, dtype=logits.dtype))"
)

INDEXED = """\
def loss_gradient(logits, targets):
    gradient = softmax(logits)
    rows = torch.arange(logits.shape[0]).unsqueeze(1)
    columns = torch.arange(logits.shape[1])
    gradient[rows, columns, targets] -= 1
    return gradient / DIVISOR
"""

AUTOGRAD = """\
def loss_gradient(logits, targets):
    with torch.enable_grad():
        copy = logits.detach().clone().requires_grad_()
        (softmax(copy).sum() + copy.sum()).backward()
    return copy.grad
"""

MISTAKES = [
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n"
        "    largest = logits.max(dim=1, keepdim=True).values\n"
        "    weights = (logits - largest).exp()\n"
        "    return weights / weights.sum(dim=1, keepdim=True)\n",
        says="over the wrong axis, that of the tokens",
    ),
    Mistake(
        "softmax",
        "weights.sum(dim=-1, keepdim=True)",
        "weights.sum()",
        says="the sum runs over all axes at once",
    ),
    Mistake(
        "softmax",
        "weights.sum(dim=-1, keepdim=True)",
        "weights.sum(dim=1, keepdim=True)",
        says="the sum runs over the wrong axis, that of the tokens",
    ),
    Mistake(
        "softmax",
        "weights.sum(dim=-1, keepdim=True)",
        "weights.sum(dim=0, keepdim=True)",
        says="the sum runs over the wrong axis, that of the rows",
    ),
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n"
        "    return logits.exp() / logits.exp().sum(dim=1, keepdim=True)\n",
        says="over the wrong axis, that of the tokens",
    ),
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n"
        "    return logits.exp() / logits.exp().sum(dim=0, keepdim=True)\n",
        says="over the wrong axis, that of the rows",
    ),
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n    return logits.exp() / logits.exp().sum()\n",
        says="over all axes at once",
    ),
    Mistake(
        "softmax",
        "logits.max(dim=-1",
        "logits.max(dim=min(1, logits.dim() - 1)",
        says="along another axis than the sum",
    ),
    Mistake(
        "softmax",
        "(logits - largest).exp()",
        "logits.exp()",
        says="the exponential overflows",
    ),
    Mistake(
        "softmax",
        "logits.max(dim=-1, keepdim=True).values",
        "logits.mean(dim=-1, keepdim=True)",
        says="the exponential overflows",
    ),
    Mistake(
        "softmax",
        "(logits - largest).exp()",
        "logits.clamp(-80, 80).exp()",
        says="large scores are cut off",
    ),
    Mistake(
        "softmax",
        "logits.max(dim=-1, keepdim=True).values",
        "logits.max()",
        says="take out the largest score of each row",
    ),
    Mistake(
        "softmax",
        "(logits - largest).exp()",
        "logits.sub_(largest).exp()",
        says="`logits` itself is changed",
    ),
    Mistake(
        "softmax",
        "return weights / weights.sum(dim=-1, keepdim=True)",
        "return weights",
        says="only the largest score is taken out",
    ),
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n    return logits.exp()\n",
        says="are not divided by their sum",
    ),
    Mistake(
        "softmax",
        "weights / weights.sum(dim=-1, keepdim=True)",
        "weights / weights.amax(dim=-1, keepdim=True) / 1",
        says="only the largest score is taken out",
    ),
    Mistake(
        "softmax",
        "weights.sum(dim=-1, keepdim=True)",
        "weights.mean(dim=-1, keepdim=True)",
        says="divided by their mean",
    ),
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n    return logits / logits.sum(dim=-1, keepdim=True)\n",
        says="without an exponential",
    ),
    Mistake(
        "softmax",
        "weights / weights.sum(dim=-1, keepdim=True)",
        "(weights / weights.sum(dim=-1, keepdim=True)).log()",
        says="these are logarithms",
    ),
    Mistake(
        "softmax",
        "(logits - largest).exp()",
        "(largest - logits).exp()",
        says="the sign of the scores is turned round",
    ),
    Mistake(
        "softmax",
        "(logits - largest).exp()",
        "2 ** (logits - largest)",
        says="the powers are of 2",
    ),
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n    return F.softmax(logits, dim=-1)\n",
        says="PyTorch's own `softmax`",
    ),
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n    return logits.log_softmax(-1).exp()\n",
        says="PyTorch's own `log_softmax`",
    ),
    Mistake(
        "softmax",
        None,
        "def softmax(logits):\n"
        "    return (logits - torch.special.logsumexp(logits, -1, True)).exp()\n",
        says="PyTorch's own `logsumexp`",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas[torch.arange(len(probas)), torch.arange(probas.shape[1]), targets]",
        says="row and column run in step",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas[torch.arange(len(probas)), "
        "torch.arange(probas.shape[1]).unsqueeze(1), targets]",
        says="row and column are exchanged",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas[..., targets]",
        says="combined with positions other than its own",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas[:, torch.arange(probas.shape[1]), targets]",
        says="combined with positions other than its own",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas[0, torch.arange(probas.shape[1]), targets]",
        says="in the first row of the batch",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas[torch.arange(len(probas)).unsqueeze(1), 0, targets]",
        says="at the first position of their row",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas.max(dim=-1).values",
        says="the largest probability is picked",
    ),
    Mistake("target_probas", PICK, "probas.argmax(-1)", says="token ids come back"),
    Mistake(
        "target_probas", ".squeeze(-1)", "", says="an axis of length 1 is left over"
    ),
    Mistake(
        "target_probas",
        ".squeeze(-1)",
        ".flatten()",
        says="come back in one long row",
    ),
    Mistake("target_probas", ".squeeze(-1)", ".mean()", says="one number comes back"),
    Mistake(
        "target_probas", ".squeeze(-1)", ".squeeze(-1).log()", says="logarithms come"
    ),
    Mistake("target_probas", PICK, "-" + PICK + ".log()", says="losses come back: the"),
    Mistake(
        "target_probas",
        "targets.unsqueeze(-1)",
        "targets.sub_(1).clamp_(0).unsqueeze(-1)",
        says="the tensors that were given are changed",
    ),
    Mistake("cross_entropy", LOSS, LOSS.replace("mean", "sum"), says="is a sum over"),
    Mistake(
        "cross_entropy",
        LOSS,
        LOSS.replace("mean", "sum") + " / len(logits)",
        says="divided by the number of rows",
    ),
    Mistake(
        "cross_entropy",
        LOSS,
        LOSS + " / logits.shape[-1]",
        says="the mean is also over the vocabulary",
    ),
    Mistake("cross_entropy", LOSS, "-" + LOSS, says="the sign is wrong"),
    Mistake("cross_entropy", LOSS, LOSS + " / math.log(2)", says="these are bits"),
    Mistake("cross_entropy", LOSS, LOSS + " / math.log(10)", says="has the base 10"),
    Mistake("cross_entropy", LOSS, LOSS + ".exp()", says="this is a perplexity"),
    Mistake(
        "cross_entropy",
        LOSS,
        "(log_sum - true_logits).squeeze(-1)",
        says="one loss comes back for each token",
    ),
    Mistake(
        "cross_entropy",
        LOSS,
        "(log_sum - true_logits).mean(dim=(1, 2))",
        says="one loss comes back for each row",
    ),
    Mistake(
        "cross_entropy",
        LOSS,
        "(log_sum - true_logits)[:, -1].mean()",
        says="only the last position",
    ),
    Mistake("cross_entropy", LOSS, LOSS + ".item()", says="cannot be differentiated"),
    Mistake("cross_entropy", LOSS, "log_sum.mean()", says="true tokens' logits are"),
    Mistake(
        "cross_entropy",
        LOSS,
        "-true_logits.mean()",
        says="only the true tokens' logits are looked at",
    ),
    Mistake(
        "cross_entropy",
        LOSS,
        "(log_sum - largest).mean()",
        says="the model's favourites",
    ),
    Mistake(
        "cross_entropy",
        LOG_SUM,
        LOG_SUM.replace("largest + ", ""),
        says="is not put back",
    ),
    Mistake(
        "cross_entropy",
        LOG_SUM,
        "2 * " + LOG_SUM,
        says="the largest score is counted twice",
    ),
    Mistake(
        "cross_entropy",
        LOG_SUM,
        "logits.exp().sum(dim=1, keepdim=True).log()",
        says="not that of the tokens: each position",
    ),
    Mistake(
        "cross_entropy",
        LOG_SUM,
        "logits.exp().sum(dim=0, keepdim=True).log()",
        says="not that of the rows: each position",
    ),
    Mistake(
        "cross_entropy",
        None,
        "def cross_entropy(logits, targets):\n"
        "    log_sum = logits.exp().sum(dim=1, keepdim=True).log()\n"
        "    losses = log_sum - logits\n"
        "    return losses.gather(-1, targets.unsqueeze(-1)).mean()\n",
        says="the wrong axis: the vocabulary is the last, not that of the tokens",
    ),
    Mistake(
        "cross_entropy",
        None,
        "def cross_entropy(logits, targets):\n"
        "    log_sum = logits.exp().sum(dim=0, keepdim=True).log()\n"
        "    losses = log_sum - logits\n"
        "    return losses.gather(-1, targets.unsqueeze(-1)).mean()\n",
        says="the wrong axis: the vocabulary is the last, not that of the rows",
    ),
    Mistake(
        "cross_entropy",
        LOG_SUM,
        "logits.exp().sum(dim=-1, keepdim=True).log()",
        says="for logits of 1000 the exponential overflows",
    ),
    Mistake("cross_entropy", None, OF_PROBABILITIES, says="costs inf: its probability"),
    Mistake(
        "cross_entropy",
        None,
        OF_PROBABILITIES.replace(".log()", ".clamp(min=1e-12).log()"),
        says="something was put in its place",
    ),
    Mistake(
        "cross_entropy",
        None,
        OF_PROBABILITIES.replace(".log().mean()", ".mean().log()"),
        says="taken of the mean probability",
    ),
    Mistake(
        "cross_entropy",
        "logits.max(dim=-1, keepdim=True).values",
        "logits.max()",
        says="take out the largest score of each position",
    ),
    Mistake(
        "cross_entropy",
        LARGEST,
        "    logits = softmax(logits)\n" + LARGEST,
        says="softmax is taken twice",
    ),
    Mistake(
        "cross_entropy",
        LARGEST,
        LARGEST + "    logits.data -= largest.data\n",
        says="the tensors that were given are changed",
    ),
    Mistake(
        "cross_entropy",
        None,
        "def cross_entropy(logits, targets):\n"
        "    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())\n",
        says="PyTorch's own `cross_entropy`",
    ),
    Mistake(
        "cross_entropy",
        LOG_SUM,
        "torch.logsumexp(logits, dim=-1, keepdim=True)",
        says="PyTorch's own `logsumexp`",
    ),
    Mistake(
        "overall_perplexity",
        "total_nats / sum(num_tokens)",
        "sum(losses) / len(losses)",
        says="the mean is over texts, not tokens",
    ),
    Mistake(
        "overall_perplexity",
        "math.exp(total_nats / sum(num_tokens))",
        "sum(math.exp(loss) for loss in losses) / len(losses)",
        says="the perplexities are averaged: take",
    ),
    Mistake(
        "overall_perplexity",
        None,
        "def overall_perplexity(losses, num_tokens):\n"
        "    total = sum(math.exp(x) * n for x, n in zip(losses, num_tokens))\n"
        "    return total / sum(num_tokens)\n",
        says="the perplexities are averaged, even if by tokens",
    ),
    Mistake(
        "overall_perplexity",
        None,
        "def overall_perplexity(losses, num_tokens):\n"
        "    return sum(math.exp(x) * n for x, n in zip(losses, num_tokens))\n",
        says="multiplied with the tokens and never divided",
    ),
    Mistake(
        "overall_perplexity",
        "math.exp(total_nats / sum(num_tokens))",
        "total_nats / sum(num_tokens)",
        says="the loss comes back",
    ),
    Mistake(
        "overall_perplexity",
        "math.exp(total_nats / sum(num_tokens))",
        "sum(losses) / len(losses)",
        says="the mean loss of the texts comes back",
    ),
    Mistake(
        "overall_perplexity",
        "math.exp(total_nats / sum(num_tokens))",
        "2 ** (total_nats / sum(num_tokens))",
        says="a power of 2",
    ),
    Mistake(
        "overall_perplexity",
        "math.exp(total_nats",
        "math.exp(-total_nats",
        says="the sign is wrong",
    ),
    Mistake(
        "overall_perplexity",
        "total_nats / sum(num_tokens)",
        "sum(losses)",
        says="summed up and never divided",
    ),
    Mistake(
        "overall_perplexity",
        "/ sum(num_tokens)",
        "/ len(num_tokens)",
        says="divided by the number of texts",
    ),
    Mistake(
        "overall_perplexity",
        "    return math.exp",
        "    losses.clear()\n    return math.exp",
        says="the lists that were given are changed",
    ),
    Mistake(
        "bits_per_byte", TOTAL_BITS, "loss * len(target_ids)", says="nats per byte"
    ),
    Mistake(
        "bits_per_byte",
        TOTAL_BITS,
        "loss * len(target_ids) * math.log(2)",
        says="multiplied by ln(2)",
    ),
    Mistake("bits_per_byte", BYTES, "len(target_ids)", says="these are bits per token"),
    Mistake(
        "bits_per_byte",
        "return total_bits / num_bytes",
        "return loss / math.log(2) * num_bytes / len(target_ids)",
        says="tokens and bytes are exchanged",
    ),
    Mistake(
        "bits_per_byte",
        TOTAL_BITS,
        "loss / math.log(2)",
        says="is not multiplied by the number of tokens",
    ),
    Mistake(
        "bits_per_byte",
        "return total_bits / num_bytes",
        "return total_bits",
        says="the bits of the whole piece",
    ),
    Mistake(
        "bits_per_byte",
        BYTES,
        "len(tokenizer.decode(target_ids))",
        says="these are bits per character",
    ),
    Mistake(
        "bits_per_byte",
        BYTES,
        "len(tokenizer.decode(target_ids).encode('utf-8'))",
        says="counted in the decoded text",
    ),
    Mistake(
        "bits_per_byte",
        BYTES,
        "len(tokenizer.decode(target_ids, errors='ignore').encode('utf-8'))",
        says="what is cut is not counted",
    ),
    Mistake(
        "bits_per_byte",
        "    total_bits",
        "    target_ids.sort()\n    total_bits",
        says="`target_ids` itself is changed",
    ),
    Mistake("loss_gradient", RESULT, "-" + RESULT, says="the sign is wrong"),
    Mistake(
        "loss_gradient",
        RESULT,
        "gradient * counts.unsqueeze(-1)",
        says="the gradient is that of the sum",
    ),
    Mistake("loss_gradient", SCATTER, "pass", says="the minus one is missing"),
    Mistake(
        "loss_gradient",
        SCATTER,
        SCATTER.replace("scatter_add_", "scatter_"),
        says="the true token's probability is lost",
    ),
    Mistake(
        "loss_gradient",
        SCATTER,
        "gradient = gradient - 1",
        says="subtracted from all tokens",
    ),
    Mistake(
        "loss_gradient",
        SCATTER,
        "gradient = (gradient - 1) * torch.zeros_like(gradient).scatter(-1, index, 1)",
        says="only the true tokens have a gradient",
    ),
    Mistake(
        "loss_gradient",
        "    " + SCATTER,
        "    gradient = gradient / counts.sum()\n    " + SCATTER + "\n"
        "    return gradient * counts.unsqueeze(-1)",
        says="only the probabilities are divided",
    ),
    Mistake(
        "loss_gradient",
        RESULT,
        RESULT + " / logits.shape[-1]",
        says="also by the size of the vocabulary",
    ),
    Mistake(
        "loss_gradient",
        RESULT,
        "gradient * counts.unsqueeze(-1) / len(logits)",
        says="the division is by the number of rows",
    ),
    Mistake(
        "loss_gradient",
        "gradient = softmax(logits)",
        "gradient = torch.softmax(logits, dim=1)",
        says="the wrong axis: the vocabulary is the last, not that of the tokens",
    ),
    Mistake(
        "loss_gradient",
        "gradient = softmax(logits)",
        "gradient = torch.softmax(logits, dim=0)",
        says="the wrong axis: the vocabulary is the last, not that of the rows",
    ),
    Mistake(
        "loss_gradient",
        "gradient = softmax(logits)",
        "gradient = logits.clone()",
        says="logits stand where probabilities belong",
    ),
    Mistake(
        "loss_gradient",
        "gradient = softmax(logits)",
        "gradient = logits",
        says="`logits` itself is changed",
    ),
    Mistake(
        "loss_gradient",
        "targets.where(counts, 0)",
        "targets.clamp_(min=0)",
        says="`targets` itself is changed",
    ),
    Mistake(
        "loss_gradient",
        "gradient = softmax(logits)",
        "gradient = logits.exp() / logits.exp().sum(dim=-1, keepdim=True)",
        says="the gradient is inf or nan",
    ),
    Mistake(
        "loss_gradient",
        "targets != -100",
        "targets > 0",
        says="token 0 is taken for a target that does not count",
    ),
    Mistake(
        "loss_gradient",
        None,
        INDEXED.replace("DIVISOR", "targets.numel()"),
        says="-100 is taken for an index, and counts from the end of the vocabulary: "
        "such a position gets no gradient, and does not count",
    ),
    Mistake(
        "loss_gradient",
        None,
        INDEXED.replace("DIVISOR", "(targets != -100).sum()"),
        says="-100 is taken for an index",
    ),
    Mistake(
        "loss_gradient",
        "/ counts.sum()",
        "/ counts.numel()",
        says="the division is by all targets",
    ),
    Mistake(
        "loss_gradient",
        "torch.full_like(index, -1, dtype=logits.dtype))",
        "-counts.unsqueeze(-1).to(logits.dtype))\n    return gradient / counts.sum()",
        says="keeps its probabilities: its gradient is 0",
    ),
    Mistake(
        "loss_gradient",
        "torch.full_like(index, -1, dtype=logits.dtype))",
        "-counts.unsqueeze(-1).to(logits.dtype))\n    return gradient / counts.numel()",
        says="keeps its probabilities and is counted",
    ),
    Mistake(
        "loss_gradient",
        RESULT,
        "gradient / counts.sum()",
        says="replaced by a token, which is then learned: set",
    ),
    Mistake(
        "loss_gradient",
        RESULT,
        "gradient / counts.numel()",
        says="replaced by a token, which is then learned and counted",
    ),
    Mistake("loss_gradient", None, AUTOGRAD, says="PyTorch's own `backward`"),
    Mistake(
        "doubled_softmax_range",
        "return log_sum - 1, log_sum",
        "return log_sum, log_sum - 1",
        says="the two numbers are swapped",
    ),
    Mistake(
        "doubled_softmax_range",
        "return log_sum - 1, log_sum",
        "return 0.0, math.inf",
        says="a loss of 0 is out of reach",
    ),
    Mistake(
        "doubled_softmax_range",
        "return log_sum - 1, log_sum",
        "return log_sum - 1, math.inf",
        says="an infinite loss is out of reach",
    ),
    Mistake(
        "doubled_softmax_range",
        "math.log(math.e + vocabulary_size - 1)",
        "math.log(vocabulary_size)",
        says="exp(1) is e, not 1",
    ),
    Mistake(
        "doubled_softmax_range",
        "math.log(math.e + vocabulary_size - 1)",
        "math.log(math.e + vocabulary_size)",
        says="the true token is counted twice",
    ),
    Mistake(
        "doubled_softmax_range",
        "math.log(math.e + vocabulary_size - 1)",
        "math.log(vocabulary_size - 1)",
        says="the true token is missing in the sum",
    ),
    Mistake(
        "doubled_softmax_range",
        "return log_sum - 1, log_sum",
        "return math.log(vocabulary_size), log_sum",
        says="even probabilities are not the best",
    ),
    Mistake(
        "doubled_softmax_range",
        "return log_sum - 1, log_sum",
        "return log_sum - 1, math.log(vocabulary_size)",
        says="even probabilities are not the worst",
    ),
    Mistake(
        "doubled_softmax_range",
        "return log_sum - 1, log_sum",
        "return (log_sum - 1) / math.log(2), log_sum / math.log(2)",
        says="these are bits",
    ),
    Mistake(
        "doubled_softmax_range",
        "return log_sum - 1, log_sum",
        "return log_sum - 1, math.log(math.e * (vocabulary_size - 1) + 1)",
        says="each of the others is given 1",
    ),
    Mistake(
        "doubled_softmax_range",
        "return log_sum - 1, log_sum",
        "return log_sum - 1",
        says="two numbers should come back",
    ),
    Mistake(
        "target_probas",
        ".squeeze(-1)",
        ".squeeze()",
        says="an axis of length 1 is lost for B = 1 and T = 3",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas.gather(1, targets.unsqueeze(-1)).squeeze(-1)",
        says="looked up along the wrong axis",
    ),
    Mistake(
        "target_probas",
        PICK,
        "probas.gather(-1, targets)",
        says="`gather` wants as many axes in its index",
    ),
    Mistake(
        "cross_entropy",
        LARGEST,
        "    logits = logits.squeeze()\n" + LARGEST,
        says="it stops for B = 1 and T = 3",
    ),
    Mistake(
        "cross_entropy",
        None,
        OF_PROBABILITIES.replace("softmax(logits)", "softmax(logits.double())"),
        says="whose score is 2000 below the largest costs inf",
    ),
    Mistake(
        "cross_entropy",
        LOSS,
        "(log_sum - true_logits).clamp(max=250).mean()",
        says="whose score is 2000 below the largest costs too little",
    ),
    Mistake(
        "cross_entropy",
        LOSS,
        LOSS + ".detach().requires_grad_()",
        says="the loss has lost its connection with `logits`",
    ),
    Mistake(
        "overall_perplexity",
        "math.exp(total_nats / sum(num_tokens))",
        "math.prod(math.exp(x) ** n for x, n in zip(losses, num_tokens)) "
        "** (1 / sum(num_tokens))",
        says="the product overflows for long texts",
    ),
    Mistake(
        "overall_perplexity",
        "math.exp(total_nats / sum(num_tokens))",
        "1 / math.prod(math.exp(-x) ** n for x, n in zip(losses, num_tokens)) "
        "** (1 / sum(num_tokens))",
        says="the product of probabilities rounds to 0",
    ),
    Mistake(
        "overall_perplexity",
        None,
        "def overall_perplexity(losses, num_tokens):\n"
        "    product = torch.tensor(1.0, dtype=torch.float64)\n"
        "    for loss, n in zip(losses, num_tokens):\n"
        "        product *= torch.tensor(loss).double().exp() ** n\n"
        "    return product ** (1 / sum(num_tokens))\n",
        says="the product overflows for long texts",
    ),
    Mistake(
        "loss_gradient",
        None,
        "def loss_gradient(logits, targets):\n"
        "    is_true = F.one_hot(targets, logits.shape[-1])\n"
        "    return (softmax(logits) - is_true) / targets.numel()\n",
        says="-100 is no token id",
    ),
    Mistake(
        "loss_gradient",
        "targets.where(counts, 0).unsqueeze(-1)",
        "targets.unsqueeze(-1)",
        says="-100 is no token id",
    ),
]

VARIANTS = [
    Variant(
        "softmax",
        None,
        "def softmax(logits):\n"
        "    weights = torch.exp(logits - logits.amax(-1, keepdim=True))\n"
        "    return weights / weights.sum(-1)[..., None]\n",
    ),
    Variant(
        "target_probas",
        PICK,
        "probas[torch.arange(len(probas)).unsqueeze(1), "
        "torch.arange(probas.shape[1]), targets]",
    ),
    Variant(
        "target_probas",
        PICK,
        "torch.stack([torch.stack([p[t] for p, t in zip(*row)]) "
        "for row in zip(probas, targets)])",
    ),
    Variant(
        "target_probas", PICK, "(probas * F.one_hot(targets, probas.shape[-1])).sum(-1)"
    ),
    Variant(
        "cross_entropy",
        None,
        "def cross_entropy(logits, targets):\n"
        "    rows, flat = logits.flatten(0, 1), targets.flatten()\n"
        "    rows = rows - rows.amax(dim=1, keepdim=True).detach()\n"
        "    return (rows.exp().sum(1).log() - rows[range(len(flat)), flat]).mean()\n",
    ),
    Variant("cross_entropy", LOSS, "-(true_logits - log_sum).sum() / targets.numel()"),
    Variant(
        "overall_perplexity",
        "math.exp(total_nats / sum(num_tokens))",
        "math.prod(math.exp(x) ** (n / sum(num_tokens)) "
        "for x, n in zip(losses, num_tokens))",
    ),
    Variant(
        "overall_perplexity",
        None,
        "def overall_perplexity(losses, num_tokens):\n"
        "    losses, counts = torch.tensor(losses), torch.tensor(num_tokens)\n"
        "    return ((losses * counts).sum() / counts.sum()).exp()\n",
    ),
    Variant("bits_per_byte", BYTES, "len(tokenizer.decode_bytes(target_ids))"),
    Variant("bits_per_byte", TOTAL_BITS, "math.log2(math.exp(loss)) * len(target_ids)"),
    Variant(
        "loss_gradient",
        None,
        "def loss_gradient(logits, targets):\n"
        "    counts = (targets != -100).unsqueeze(-1)\n"
        "    is_true = F.one_hot(targets.clamp(min=0), logits.shape[-1])\n"
        "    return (torch.softmax(logits, -1) - is_true) * counts / counts.sum()\n",
    ),
    Variant(
        "loss_gradient",
        None,
        "def loss_gradient(logits, targets):\n"
        "    gradient = torch.zeros_like(logits)\n"
        "    places = (targets != -100).nonzero().tolist()\n"
        "    for b, t in places:\n"
        "        gradient[b, t] = softmax(logits[b, t])\n"
        "        gradient[b, t, targets[b, t]] -= 1\n"
        "    return gradient / len(places)\n",
    ),
    Variant(
        "doubled_softmax_range",
        None,
        "def doubled_softmax_range(vocabulary_size):\n"
        "    one = torch.eye(vocabulary_size, dtype=torch.float64)[0]\n"
        "    return [F.cross_entropy(one, torch.tensor(i)).item() for i in (0, 1)]\n",
    ),
]
