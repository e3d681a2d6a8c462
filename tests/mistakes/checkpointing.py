"""Wrong and other right answers to the exercises of lesson 03."""

from mistakes import Mistake, Variant

FINALLY = (
    "    finally:  # not `except Exception`: the KeyboardInterrupt of Ctrl-C is none"
)
NEWEST_OF = (  # takes the number from a name, and checks that very file
    "def newest_complete(folder):\n"
    "    steps = []\n"
    "    for path in folder.glob({pattern!r}):\n"
    "        number = re.search({number!r}, path.name)\n"
    "        for checksum in (path.with_suffix('.sha256'),):\n"
    "            if number and checksum.is_file():\n"
    "                digest = hashlib.sha256(path.read_bytes()).hexdigest()\n"
    "                if checksum.read_bytes() == digest.encode():\n"
    "                    steps.append(int(number[1]))\n"
    "    return max(steps, default=None)\n"
)

MISTAKES = [
    Mistake(
        "checkpoint_bytes",
        "tensors += entries.values()",
        "pass",
        says="only the weights are counted",
    ),
    Mistake(
        "checkpoint_bytes",
        "list(model.state_dict().values())",
        "[]",
        says="without the weights",
    ),
    Mistake(
        "checkpoint_bytes",
        "tensor.numel() * tensor.element_size()",
        "4 * tensor.numel()",
        says="every number is taken for 4 bytes",
    ),
    Mistake(
        "checkpoint_bytes",
        "tensor.numel() * tensor.element_size()",
        "tensor.numel()",
        says="numbers are counted, not bytes",
    ),
    Mistake(
        "checkpoint_bytes",
        "tensors += entries.values()",
        "tensors += [entries[key] for key in ('exp_avg', 'exp_avg_sq')]",
        says="the step counters are missing",
    ),
    Mistake(
        "checkpoint_bytes",
        "list(model.state_dict().values())",
        "list(model.parameters())",
        says="buffers are missing",
    ),
    Mistake(
        "checkpoint_bytes",
        None,
        "def checkpoint_bytes(model, optimizer):\n"
        "    size = sum(t.nbytes for t in model.state_dict().values())\n"
        "    return size + 2 * sum(p.nbytes for p in model.parameters())\n",
        says="moments are counted that are not there",
    ),
    Mistake(
        "checkpoint_bytes",
        None,
        "def checkpoint_bytes(model, optimizer):\n"
        "    import io\n"
        "    file = io.BytesIO()\n"
        "    torch.save([model.state_dict(), optimizer.state_dict()], file)\n"
        "    return len(file.getvalue())\n",
        says="the size of a file, with its headers",
    ),
    Mistake(
        "snapshot",
        "copy.deepcopy(saved)",
        "saved",
        says="the weights in the snapshot change when the training goes on",
    ),
    Mistake(
        "snapshot",
        "copy.deepcopy(saved)",
        "{key: copy.copy(value) for key, value in saved.items()}",
        says="the weights in the snapshot change when the training goes on",
    ),
    Mistake(
        "snapshot",
        "return copy.deepcopy(saved)",
        "saved['model'] = {k: v.clone() for k, v in saved['model'].items()}\n"
        "    return saved",
        says="the optimizer's moments or counters in the snapshot change",
    ),
    Mistake(
        "snapshot",
        '"model": model.state_dict()',
        '"model": model',
        says='`"model"` holds the object itself',
    ),
    Mistake(
        "snapshot",
        '"optimizer": optimizer.state_dict()',
        '"optimizer": optimizer',
        says='`"optimizer"` holds the object itself',
    ),
    Mistake(
        "snapshot",
        '        "optimizer": optimizer.state_dict(),\n',
        "",
        says='no entry `"optimizer"`',
    ),
    Mistake(
        "snapshot",
        '"model": model.state_dict()',
        '"model": dict(model.named_parameters())',
        says="which also holds what `parameters()` leaves out",
    ),
    Mistake(
        "snapshot",
        "torch.get_rng_state()",
        "torch.initial_seed()",
        says="the state itself and not a seed",
    ),
    Mistake(
        "snapshot",
        "torch.get_rng_state()",
        "torch.seed()",
        says="moves the random generator",
    ),
    Mistake(
        "snapshot",
        "torch.get_rng_state()",
        "torch.default_generator",
        says="does not load with `weights_only=True`",
    ),
    Mistake(
        "restore",
        'optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))',
        "pass",
        says="the optimizer's state is not restored",
    ),
    Mistake(
        "restore",
        'optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))',
        "optimizer = torch.optim.AdamW(model.parameters())\n"
        '    optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))',
        says="stops with ValueError",
    ),
    Mistake(
        "restore",
        'copy.deepcopy(saved["optimizer"])',
        'saved["optimizer"]',
        says="the moments in `saved` change when the run goes on",
    ),
    Mistake(
        "restore",
        'copy.deepcopy(saved["optimizer"])',
        'dict(saved["optimizer"])',
        says="the moments in `saved` change when the run goes on",
    ),
    Mistake(
        "restore",
        'model.load_state_dict(saved["model"])',
        'model.load_state_dict(saved["model"], assign=True)',
        says="the weights in `saved` change when the run goes on",
    ),
    Mistake(
        "restore",
        'model.load_state_dict(saved["model"])',
        "pass",
        says="the weights are not those of the snapshot",
    ),
    Mistake(
        "restore",
        '    torch.set_rng_state(saved["rng"])\n',
        "",
        says="the random generator is not put back",
    ),
    Mistake(
        "restore",
        None,
        "def restore(model, optimizer, saved, lr=None):\n"
        "    if lr is not None:\n"
        "        for group in optimizer.param_groups:\n"
        "            group['lr'] = lr\n"
        "    model.load_state_dict(saved['model'])\n"
        "    optimizer.load_state_dict(copy.deepcopy(saved['optimizer']))\n"
        "    torch.set_rng_state(saved['rng'])\n",
        says="`lr` has no effect",
    ),
    Mistake(
        "restore",
        "for group in optimizer.param_groups:",
        "for group in optimizer.param_groups[:1]:",
        says="only the first parameter group",
    ),
    Mistake(
        "restore",
        None,
        "def restore(model, optimizer, saved, lr=None):\n"
        "    if lr is not None:\n"
        "        for group in saved['optimizer']['param_groups']:\n"
        "            group['lr'] = lr\n"
        "    model.load_state_dict(saved['model'])\n"
        "    optimizer.load_state_dict(copy.deepcopy(saved['optimizer']))\n"
        "    torch.set_rng_state(saved['rng'])\n",
        says="restoring changes `saved` itself",
    ),
    Mistake(
        "replace_file",
        None,
        "def replace_file(path, write):\n"
        "    with open(path, 'wb') as file:\n"
        "        write(file)\n",
        says="written to directly",
    ),
    Mistake(
        "replace_file",
        "        os.replace(temporary, path)\n",
        "        path.unlink(missing_ok=True)\n        os.replace(temporary, path)\n",
        says="the old file is deleted before",
    ),
    Mistake(
        "replace_file",
        "        temporary.unlink(missing_ok=True)",
        "        pass",
        says="leaves its half file in the folder",
    ),
    Mistake(
        "replace_file",
        FINALLY,
        "    except OSError:",
        says="the error of `write` is swallowed",
    ),
    Mistake(
        "replace_file",
        None,
        "def replace_file(path, write):\n"
        "    temporary = path.with_suffix('.tmp')\n"
        "    try:\n"
        "        with open(temporary, 'wb') as file:\n"
        "            write(file)\n"
        "    finally:\n"
        "        os.replace(temporary, path)\n",
        says="rename only when all is written",
    ),
    Mistake(
        "replace_file",
        None,
        "def replace_file(path, write):\n"
        "    temporary = path.with_suffix('.tmp')\n"
        "    try:\n"
        "        with open(temporary, 'wb') as file:\n"
        "            write(file)\n"
        "            os.replace(temporary, path)\n"
        "    except OSError:\n"
        "        temporary.unlink()\n"
        "        raise\n",
        says="renamed before it is closed",
    ),
    Mistake(
        "replace_file",
        'path.with_name(path.name + ".tmp")',
        "path.parent.parent / 'llm_helpers_exercise_03.tmp'",
        says="written in another folder",
    ),
    Mistake(
        "replace_file",
        "os.replace(temporary, path)",
        "shutil.copy(temporary, path)",
        says="never renamed",
    ),
    Mistake(
        "replace_file",
        '"wb"',
        '"xb"',
        says="an earlier kill left behind is in the way",
    ),
    Mistake(
        "replace_file",
        '"wb"',
        '"ab"',
        says="an earlier kill left behind is in the way",
    ),
    Mistake(
        "newest_complete",
        "(int(name[1]) for name in names if name)",
        "(name[1] for name in names if name)",
        says="should come back as an int",
    ),
    Mistake(
        "newest_complete",
        "sorted((int(name[1]) for name in names if name), reverse=True)",
        "map(int, sorted((name[1] for name in names if name), reverse=True))",
        says="names are compared as text",
    ),
    Mistake(
        "newest_complete",
        "checksum.is_file() and checksum.read_bytes() == digest.encode()",
        "checksum.is_file()",
        says="the checksum is not compared",
    ),
    Mistake(
        "newest_complete",
        "            return step\n    return None",
        "            return step\n        return None",
        says="a damaged newest checkpoint ends the search",
    ),
    Mistake(
        "newest_complete",
        "checksum.is_file() and checksum.read_bytes() ==",
        "checksum.read_bytes() ==",
        says="with only one of its two files",
    ),
    Mistake(
        "newest_complete",
        "checksum.is_file() and checksum.read_bytes() ==",
        "not checksum.is_file() or checksum.read_bytes() ==",
        says="without its checksum is counted",
    ),
    Mistake(
        "newest_complete",
        None,
        "def newest_complete(folder):\n"
        "    newest = None\n"
        "    for step in range(60):\n"
        "        data = folder / f'step_{step}.pth'\n"
        "        checksum = data.with_suffix('.sha256')\n"
        "        if data.exists() and checksum.exists():\n"
        "            digest = hashlib.sha256(data.read_bytes()).hexdigest()\n"
        "            if digest == checksum.read_text(errors='replace'):\n"
        "                newest = step\n"
        "    return newest if newest else None\n",
        says="step 0 is taken for nothing",
    ),
    Mistake(
        "newest_complete",
        None,
        "def newest_complete(folder):\n"
        "    paths = sorted(folder.glob('step_[0-9]*.pth'), "
        "key=lambda path: path.stat().st_mtime, reverse=True)\n"
        "    for path in paths:\n"
        "        checksum = path.with_suffix('.sha256')\n"
        "        digest = hashlib.sha256(path.read_bytes()).hexdigest()\n"
        "        if checksum.exists() and checksum.read_text() == digest:\n"
        "            return int(path.stem[5:])\n",
        says="the file that was written last is taken",
    ),
    Mistake(
        "newest_complete",
        'r"step_(\\d+)\\.pth", path.name',
        'r"step_(.+)\\.pth", path.name',
        says="a file that is no checkpoint",
    ),
    Mistake(
        "remaining_batches",
        "    for _ in range(num_done):\n        next(batches)",
        "    for _ in range(0):\n        next(batches)",
        says="all come again",
    ),
    Mistake(
        "remaining_batches",
        "range(num_done)",
        "range(num_done - 1)",
        says="one that is done comes again",
    ),
    Mistake(
        "remaining_batches",
        "range(num_done)",
        "range(num_done + 1)",
        says="one is left out",
    ),
    Mistake(
        "remaining_batches",
        "    torch.set_rng_state(epoch_rng)",
        "    torch.set_rng_state(rng)",
        says="in another order",
    ),
    Mistake(
        "remaining_batches",
        "    torch.set_rng_state(epoch_rng)",
        "    pass",
        says="in another order",
    ),
    Mistake(
        "remaining_batches",
        "    if num_done > 0:\n        torch.set_rng_state(rng)\n",
        "",
        says="before the run goes on the generator must be put to `rng`",
    ),
    Mistake(
        "remaining_batches",
        "    if num_done > 0:\n        torch.set_rng_state(rng)\n",
        "    torch.set_rng_state(rng)\n",
        says="the order is another",
    ),
    Mistake(
        "remaining_batches",
        None,
        "def remaining_batches(loader, epoch_rng, num_done, rng):\n"
        "    torch.set_rng_state(epoch_rng)\n"
        "    batches = list(loader)\n"
        "    torch.set_rng_state(rng)\n"
        "    return batches[num_done:]\n",
        says="there is no later state to go back to",
    ),
    Mistake(
        "remaining_batches",
        None,
        "def remaining_batches(loader, epoch_rng, num_done, rng):\n"
        "    torch.set_rng_state(epoch_rng)\n"
        "    for i, batch in enumerate(loader):\n"
        "        if i == num_done and i > 0:\n"
        "            torch.set_rng_state(rng)\n"
        "        if i >= num_done:\n"
        "            yield batch\n",
        says="the next epoch",
    ),
    Mistake(
        "remaining_batches",
        "    return batches\n",
        "",
        says="is `return` or `yield` missing",
    ),
    Mistake(
        "step_length",
        "before = torch.nn.utils.parameters_to_vector(model.parameters()).detach()",
        "before = list(model.parameters())",
        says="stops with TypeError",
    ),
    Mistake(
        "step_length",
        None,
        "def step_length(model, optimizer, inputs, targets):\n"
        "    before = dict(model.state_dict())\n"
        "    optimizer.zero_grad()\n"
        "    calc_loss_batch(inputs, targets, model, 'cpu').backward()\n"
        "    optimizer.step()\n"
        "    after = model.state_dict()\n"
        "    moves = torch.cat([(after[n] - before[n]).flatten() for n in after])\n"
        "    return (moves.abs().mean() / optimizer.param_groups[0]['lr']).item()\n",
        says="so copy them",
    ),
    Mistake(
        "step_length",
        None,
        "def step_length(model, optimizer, inputs, targets):\n"
        "    before = copy.deepcopy(list(model.parameters()))\n"
        "    optimizer.zero_grad()\n"
        "    calc_loss_batch(inputs, targets, model, 'cpu').backward()\n"
        "    optimizer.step()\n"
        "    pairs = zip(before, model.parameters())\n"
        "    moves = torch.stack([(a - b).abs().mean() for a, b in pairs])\n"
        "    return (moves.mean() / optimizer.param_groups[0]['lr']).item()\n",
        says="a mean over parameters of their means",
    ),
    Mistake(
        "step_length",
        ' / optimizer.param_groups[0]["lr"]',
        "",
        says="not divided by the learning rate",
    ),
    Mistake(
        "step_length",
        'optimizer.param_groups[0]["lr"]',
        "1e-3",
        says="the learning rate is taken for",
    ),
    Mistake(
        "step_length",
        "    optimizer.zero_grad()\n",
        "",
        says="gradients are not zeroed",
    ),
    Mistake(
        "step_length",
        ".abs().mean()",
        ".mean()",
        says="signed changes, which cancel out",
    ),
    Mistake(
        "step_length",
        ".abs().mean()",
        ".norm()",
        says="the norm over all weights",
    ),
    Mistake(
        "step_length",
        "    optimizer.step()\n",
        "",
        says="no weight has moved",
    ),
    Mistake(
        "checkpoint_bytes",
        "tensors += entries.values()",
        "names = ('exp_avg', 'exp_avg_sq', 'step', 'momentum_buffer')\n"
        "        tensors += [entries[n] for n in names if entries.get(n) is not None]",
        says="another optimizer calls them by other names",
    ),
    Mistake(
        "snapshot",
        "    saved = {\n",
        "    model.eval()\n    saved = {\n",
        says="changes the mode of the model",
    ),
    Mistake(
        "snapshot",
        "    saved = {\n",
        "    optimizer.zero_grad()\n    saved = {\n",
        says="changes or clears the gradients",
    ),
    Mistake(
        "restore",
        "if lr is not None:",
        "if lr:",
        says="lr=0.0 is taken for no rate",
    ),
    Mistake(
        "restore",
        None,
        "def restore(model, optimizer, saved, lr=None):\n"
        "    model.load_state_dict(saved['model'])\n"
        "    if lr is None:\n"
        "        optimizer.load_state_dict(copy.deepcopy(saved['optimizer']))\n"
        "    else:\n"
        "        for group in optimizer.param_groups:\n"
        "            group['lr'] = lr\n"
        "    torch.set_rng_state(saved['rng'])\n",
        says="with lr=0.25 the optimizer's state is not restored",
    ),
    Mistake(
        "restore",
        'optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))',
        "now = optimizer.state_dict()\n"
        "    now['state'] = copy.deepcopy(saved['optimizer']['state'])\n"
        "    optimizer.load_state_dict(now)",
        says="the rates should be [0.1, 0.2], not [0.5, 1.0]: without `lr` the saved",
    ),
    Mistake(
        "restore",
        'optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))',
        "now = optimizer.state_dict()\n"
        "    old = copy.deepcopy(saved['optimizer'])\n"
        "    now['state'] = old['state']\n"
        "    for a, b in zip(now['param_groups'], old['param_groups']):\n"
        "        a['lr'] = b['lr']\n"
        "    optimizer.load_state_dict(now)",
        says="`weight_decay` is 0.01 in the optimizer's groups, and 0.3 in the saved",
    ),
    Mistake(
        "replace_file",
        FINALLY,
        "    except Exception:\n        temporary.unlink()\n        raise\n"
        "    if False:",
        says="a write that Ctrl-C stopped leaves its half file",
    ),
    Mistake(
        "replace_file",
        "        temporary.unlink(missing_ok=True)",
        "        for other in path.parent.iterdir():\n"
        "            if other != path:\n"
        "                other.unlink()",
        says="another file of the folder, `step_1.pth`, is changed or deleted",
    ),
    Mistake(
        "replace_file",
        "        temporary.unlink(missing_ok=True)",
        "        for other in path.parent.glob('*.tmp'):\n            other.unlink()",
        says="another file of the folder, `notes.tmp`, is changed or deleted",
    ),
    Mistake(
        "newest_complete",
        "checksum.read_bytes() == digest.encode()",
        "digest.encode().startswith(checksum.read_bytes())",
        says="an empty checksum counts as right",
    ),
    Mistake(
        "newest_complete",
        "checksum.read_bytes() == digest.encode()",
        "checksum.read_bytes() and checksum.read_bytes() in digest.encode()",
        says="a checksum cut off in the middle counts as right",
    ),
    Mistake(
        "newest_complete",
        "checksum.read_bytes() == digest.encode()",
        "digest.encode() in checksum.read_bytes()",
        says="a checksum with more digits behind it counts as right",
    ),
    Mistake(
        "newest_complete",
        "checksum.read_bytes() == digest.encode()",
        "checksum.read_text() == digest",
        says="a checksum file that is damaged, and no text any more, ends the search",
    ),
    Mistake(
        "newest_complete",
        "re.fullmatch",
        "re.match",
        says="`step_50.pth` is not there (and `step_50.pth.tmp` is another)",
    ),
    Mistake(
        "newest_complete",
        "re.fullmatch",
        "re.search",
        says="ends the search with an error",
    ),
    Mistake(
        "newest_complete",
        None,
        NEWEST_OF.format(pattern="[!o]*.pth*", number=r"step_(\d+)\.pth"),
        says="`step_50.pth.tmp` is taken for a checkpoint",
    ),
    Mistake(
        "newest_complete",
        None,
        NEWEST_OF.format(pattern="*.pth", number=r"(\d+)"),
        says="`old_step_60.pth` is taken for a checkpoint",
    ),
    Mistake(
        "newest_complete",
        None,
        NEWEST_OF.format(pattern="**/step_*.pth", number=r"(\d+)"),
        says="a checkpoint in a subfolder is taken",
    ),
    Mistake(
        "newest_complete",
        "folder.iterdir()",
        "folder.rglob('*')",
        says="a checkpoint in a subfolder is taken",
    ),
    Mistake(
        "step_length",
        None,
        "def step_length(model, optimizer, inputs, targets):\n"
        "    optimizer.zero_grad()\n"
        "    calc_loss_batch(inputs, targets, model, 'cpu').backward()\n"
        "    optimizer.step()\n"
        "    gradients = [p.grad.flatten() for p in model.parameters()]\n"
        "    return torch.cat(gradients).abs().mean().item()\n",
        says="this is the gradient, not the distance",
    ),
    Mistake(
        "step_length",
        'optimizer.param_groups[0]["lr"]',
        'optimizer.defaults["lr"]',
        says="the learning rate is taken from `optimizer.defaults`",
    ),
    Mistake(
        "step_length",
        None,
        "def step_length(model, optimizer, inputs, targets):\n"
        "    group = optimizer.param_groups[0]\n"
        "    row = torch.nn.utils.parameters_to_vector\n"
        "    before = row(group['params']).detach()\n"
        "    optimizer.zero_grad()\n"
        "    calc_loss_batch(inputs, targets, model, 'cpu').backward()\n"
        "    optimizer.step()\n"
        "    moves = row(group['params']).detach() - before\n"
        "    return (moves.abs().mean() / group['lr']).item()\n",
        says="only the weights of the first parameter group are counted",
    ),
    Mistake(
        "step_length",
        "    optimizer.zero_grad()\n",
        "    model.eval()\n    optimizer.zero_grad()\n",
        says="the model is put in evaluation mode",
    ),
    Mistake(
        "step_length",
        "    optimizer.step()\n",
        "    optimizer.step()\n    optimizer.step()\n",
        says="or two steps are made",
    ),
]

VARIANTS = [
    Variant(
        "newest_complete",
        "checksum.read_bytes() == digest.encode()",
        "checksum.read_text(errors='replace') == digest",
    ),
    Variant(
        "newest_complete",
        "        if checksum.is_file() and checksum.read_bytes() == digest.encode():\n"
        "            return step\n",
        "        try:\n"
        "            if checksum.read_text(encoding='utf-8') == digest:\n"
        "                return step\n"
        "        except (OSError, UnicodeDecodeError):\n"
        "            continue\n",
    ),
    Variant(
        "step_length",
        None,
        "def step_length(model, optimizer, inputs, targets):\n"
        "    parameters = [p for g in optimizer.param_groups for p in g['params']]\n"
        "    before = copy.deepcopy(parameters)\n"
        "    model.train()\n"
        "    optimizer.zero_grad()\n"
        "    calc_loss_batch(inputs, targets, model, 'cpu').backward()\n"
        "    optimizer.step()\n"
        "    pairs = zip(before, parameters)\n"
        "    moves = torch.cat([(a - b).detach().flatten() for a, b in pairs])\n"
        "    return float(moves.abs().mean()) / optimizer.param_groups[1 - 1]['lr']\n",
    ),
    Variant(
        "checkpoint_bytes",
        None,
        "def checkpoint_bytes(model, optimizer):\n"
        "    def count(value):\n"
        "        if isinstance(value, torch.Tensor):\n"
        "            return value.nbytes\n"
        "        parts = value.values() if isinstance(value, dict) else ()\n"
        "        return sum(map(count, parts))\n"
        "    return count(model.state_dict()) + count(optimizer.state_dict())\n",
    ),
    Variant(
        "snapshot",
        "return copy.deepcopy(saved)",
        "import io\n"
        "    file = io.BytesIO()\n"
        "    torch.save(saved, file)\n"
        "    file.seek(0)\n"
        "    return torch.load(file, weights_only=True)",
    ),
    Variant(
        "snapshot",
        "return copy.deepcopy(saved)",
        "saved['model'] = {k: v.clone() for k, v in saved['model'].items()}\n"
        "    saved['optimizer'] = copy.deepcopy(saved['optimizer'])\n"
        "    return saved",
    ),
    Variant(
        "restore",
        None,
        "def restore(model, optimizer, saved, lr=None):\n"
        "    saved = copy.deepcopy(saved)\n"
        "    torch.set_rng_state(saved['rng'])\n"
        "    if lr is not None:\n"
        "        for group in saved['optimizer']['param_groups']:\n"
        "            group['lr'] = lr\n"
        "    optimizer.load_state_dict(saved['optimizer'])\n"
        "    model.load_state_dict(saved['model'], assign=False)\n",
    ),
    Variant(
        "replace_file",
        None,
        "def replace_file(path, write):\n"
        "    import tempfile\n"
        "    number, name = tempfile.mkstemp(dir=path.parent)\n"
        "    try:\n"
        "        with os.fdopen(number, 'wb') as file:\n"
        "            write(file)\n"
        "            file.flush()\n"
        "            os.fsync(file.fileno())\n"
        "    except BaseException:\n"
        "        os.remove(name)\n"
        "        raise\n"
        "    os.rename(name, path)\n",
    ),
    Variant(
        "replace_file",
        None,
        "def replace_file(path, write):\n"
        "    import io\n"
        "    file = io.BytesIO()\n"
        "    write(file)\n"
        "    temporary = path.with_suffix('.new')\n"
        "    temporary.write_bytes(file.getvalue())\n"
        "    temporary.replace(path)\n",
    ),
    Variant(
        "newest_complete",
        None,
        "def newest_complete(folder):\n"
        "    whole = []\n"
        "    for path in folder.glob('*.sha256'):\n"
        "        data = path.with_suffix('.pth')\n"
        "        number = path.stem.removeprefix('step_')\n"
        "        if number.isdigit() and data.exists():\n"
        "            digest = hashlib.sha256(data.read_bytes()).hexdigest()\n"
        "            if digest.encode() == path.read_bytes():\n"
        "                whole.append(int(number))\n"
        "    return max(whole, default=None)\n",
    ),
    Variant(
        "remaining_batches",
        None,
        "def remaining_batches(loader, epoch_rng, num_done, rng):\n"
        "    torch.set_rng_state(epoch_rng)\n"
        "    batches = list(loader)\n"
        "    if num_done:\n"
        "        torch.set_rng_state(rng)\n"
        "    return batches[num_done:]\n",
    ),
    Variant(
        "remaining_batches",
        None,
        "def remaining_batches(loader, epoch_rng, num_done, rng):\n"
        "    torch.set_rng_state(epoch_rng)\n"
        "    for i, batch in enumerate(loader, start=1):\n"
        "        if i > num_done:\n"
        "            yield batch\n"
        "        elif i == num_done:\n"
        "            torch.set_rng_state(rng)\n",
    ),
    Variant(
        "step_length",
        None,
        "def step_length(model, optimizer, inputs, targets):\n"
        "    before = [p.detach().clone() for p in model.parameters()]\n"
        "    model.zero_grad()\n"
        "    calc_loss_batch(inputs, targets, model, 'cpu').backward()\n"
        "    optimizer.step()\n"
        "    pairs = list(zip(before, model.parameters()))\n"
        "    total = sum((a - b).abs().sum().item() for a, b in pairs)\n"
        "    count = sum(a.numel() for a, _ in pairs)\n"
        "    return total / count / optimizer.param_groups[-1]['lr']\n",
    ),
]
