using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.FeedForward;

/// <summary>How files hold the matrices of experts, where they do not hold each by itself.</summary>
internal enum ExpertStorage
{
    /// <summary>Every matrix by itself.</summary>
    Apart,

    /// <summary><c>gate_up_proj</c> [experts, 2 width, hidden], gate rows first, and <c>down_proj</c> [experts, hidden, width].</summary>
    Stacked,

    /// <summary><c>gate_up_proj</c> [experts, hidden, 2 width], gate columns first, and <c>down_proj</c> [experts, width, hidden].</summary>
    StackedTransposed,

    /// <summary>As transposed, gate in even and up in odd columns, with biases; or as MXFP4 blocks of the transposes.</summary>
    Interleaved,

    /// <summary><c>w1</c>, <c>v1</c> and <c>w2</c>, each [experts * width, hidden], the last one not transposed.</summary>
    Rows,
}

/// <summary>Makes the experts of a block.</summary>
/// <param name="Prefix">In front of the number of an expert, such as <c>mlp.experts</c>.</param>
/// <param name="Count">Experts.</param>
/// <param name="Hidden">Width of the stream.</param>
/// <param name="Width">Width of an expert.</param>
internal sealed record ExpertParts(string Prefix, int Count, int Hidden, int Width)
{
    /// <summary>Names of gate, up and down of an expert.</summary>
    public (string Gate, string Up, string Down) Names { get; init; } = ("gate_proj", "up_proj", "down_proj");

    /// <summary>How files of the family hold them; apart where they hold them so all the same.</summary>
    public ExpertStorage Storage { get; init; }

    /// <summary>Names within the block of stacks that are called otherwise; null for the usual ones.</summary>
    public (string GateUp, string Down)? Stacks { get; init; }

    /// <summary>Whether they are up, activation and down without a gate.</summary>
    public bool Plain { get; init; }

    /// <summary>Whether they have biases.</summary>
    public bool Biased { get; init; }

    /// <summary>Applied to the gate.</summary>
    public Activation Activation { get; init; }

    /// <summary>In its place: the clamped gate.</summary>
    public ClampedGate? Clamped { get; init; }

    /// <summary>Makes them; their slots follow each other expert by expert.</summary>
    public IReadOnlyList<IExpert> Make(BlockParts parts)
    {
        int inputs = parts.NextDeclaredStage(), outputs = parts.NextDeclaredStage();
        return [.. Enumerable.Range(0, Count).Select(IExpert (e) =>
        {
            LinearSlot? gate = Plain ? null : Slot(parts, e, Names.Gate, Part.Gate);
            LinearSlot up = Slot(parts, e, Names.Up, Part.Up), down = Slot(parts, e, Names.Down, Part.Down);
            if (gate is null) parts.DeclareInput(inputs, up);
            else parts.DeclareInput(inputs, gate, up);
            parts.DeclareInput(outputs, down);
            if (gate is null) return new PlainMlp { Up = up, Down = down, Activation = Activation };
            return new GatedMlp { Gate = gate, Up = up, Down = down, Activation = Activation, Clamped = Clamped };
        })];
    }

    private LinearSlot Slot(BlockParts parts, int expert, string name, Part part)
    {
        (int rows, int columns) = part == Part.Down ? (Hidden, Width) : (Width, Hidden);
        string module = $"{Prefix}.{expert}.{name}";
        // Some may be apart and others in a stack, where only some are quantized.
        ExpertStorage storage = parts.IsStored($"{module}.weight") ? ExpertStorage.Apart : Storage;
        BiasRule bias = Biased ? BiasRule.Always : BiasRule.Never;
        // Quantized experts are stored apart, and their biases may still lie in a stack.
        StoredView? offset = Storage == ExpertStorage.Apart || parts.IsStored($"{module}.bias") ? null : BiasView(parts, Storage, expert, part);
        return parts.Linear(module, rows, columns, bias, storage == ExpertStorage.Apart ? null : View(parts, storage, expert, part), offset, isExpert: true);
    }

    private StoredView View(BlockParts parts, ExpertStorage storage, int expert, Part part)
    {
        bool down = part == Part.Down;
        string stored = parts.Path(Stacks is { } stacks ? down ? stacks.Down : stacks.GateUp : $"{Prefix}.{(down ? "down_proj" : "gate_up_proj")}");
        int both = 2 * Width;
        RowPattern rows = down ? RowPattern.Range(0, Hidden) : storage == ExpertStorage.Interleaved
            ? new RowPattern(part == Part.Gate ? 0 : 1, Width, 1, 2)
            : RowPattern.Range(part == Part.Gate ? 0 : Width, Width);
        switch (storage)
        {
            case ExpertStorage.Stacked:
                return down
                    ? StoredView.OfStack(stored, [Count, Hidden, Width], expert, Hidden, Width, false, rows)
                    : StoredView.OfStack(stored, [Count, both, Hidden], expert, both, Hidden, false, rows);
            case ExpertStorage.Rows:
                string plain = parts.Path($"{Prefix}.{(down ? "w2" : part == Part.Gate ? "w1" : "v1")}");
                return StoredView.OfStack(plain, [Count * Width, Hidden], expert, Width, Hidden, down, RowPattern.Range(0, down ? Hidden : Width));
            case ExpertStorage.Interleaved when parts.IsStored($"{Prefix}.{(down ? "down_proj" : "gate_up_proj")}{StoredView.Mxfp4Blocks}"):
                (int outs, int ins) = down ? (Hidden, Width) : (both, Hidden);
                return StoredView.OfStack($"{stored}{StoredView.Mxfp4Blocks}", [Count, outs, ins / 32, 16], expert, outs, ins, false, rows) with { IsMxfp4 = true };
            default:
                return down
                    ? StoredView.OfStack(stored, [Count, Width, Hidden], expert, Width, Hidden, true, rows)
                    : StoredView.OfStack(stored, [Count, Hidden, both], expert, Hidden, both, true, rows);
        }
    }

    private StoredView? BiasView(BlockParts parts, ExpertStorage storage, int expert, Part part)
    {
        if (!Biased) return null;
        bool down = part == Part.Down;
        int size = down ? Hidden : 2 * Width;
        RowPattern rows = down ? RowPattern.Range(0, Hidden) : storage == ExpertStorage.Interleaved
            ? new RowPattern(part == Part.Gate ? 0 : 1, Width, 1, 2)
            : RowPattern.Range(part == Part.Gate ? 0 : Width, Width);
        return StoredView.OfStack(parts.Path($"{Prefix}.{(down ? "down_proj" : "gate_up_proj")}_bias"), [Count, size], expert, size, 1, false, rows);
    }

    private enum Part
    {
        Gate,
        Up,
        Down,
    }
}
