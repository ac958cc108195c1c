using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.Folds;

/// <summary>A part of a block that says who reads its input, and what may be scaled within it.</summary>
internal interface IFoldable
{
    /// <summary>Names everything that reads the part's input.</summary>
    void AddReaders(InputReaders readers) => readers.Refuse("a part of the block does not say what reads its input");

    /// <summary>Names folds within the part, inputs that have none, and the linears that write to the residual stream.</summary>
    void AddFolds(FoldList folds) => folds.RefuseRotation("a part of the block does not say what it writes to the residual stream");
}

/// <summary>Who reads the channels that something in front of them gives.</summary>
internal sealed class InputReaders
{
    /// <summary>Linears.</summary>
    public List<LinearSlot> Slots { get; } = [];

    /// <summary>Tensors that are no linears and whose last dimension are the channels, such as factors of them.</summary>
    public List<Tensor> Matrices { get; } = [];

    /// <summary>Why the channels cannot be scaled; null where they can.</summary>
    public string? Obstacle { get; private set; }

    /// <summary>Adds a linear; null for none.</summary>
    public void Add(LinearSlot? slot)
    {
        if (slot is not null) Slots.Add(slot);
    }

    /// <summary>Adds a tensor that stays floats.</summary>
    public void Add(Tensor matrix) => Matrices.Add(matrix);

    /// <summary>Says why the channels cannot be scaled.</summary>
    public void Refuse(string reason) => Obstacle ??= reason;

    /// <summary>The readers of a part.</summary>
    public static InputReaders Of(IFoldable part)
    {
        var readers = new InputReaders();
        part.AddReaders(readers);
        return readers;
    }
}

/// <summary>Collects the folds of a block from its parts.</summary>
/// <param name="slots">The block's linears.</param>
/// <param name="tensors">The block's tensors.</param>
internal sealed class FoldList(IReadOnlyList<LinearSlot> slots, BlockTensors tensors)
{
    private readonly List<FoldSite> _sites = [];
    private readonly Dictionary<LinearSlot, (FoldKind Kind, string Reason)> _refused = [];
    private readonly List<(IChannelNorm Norm, InputReaders Readers)> _streamReaders = [];
    private readonly List<LinearSlot> _writers = [];
    private string? _obstacle;

    /// <summary>Channels behind a norm of the residual stream, or of the stream itself.</summary>
    /// <param name="norm">The norm; null for none.</param>
    /// <param name="readers">All who read what it gives.</param>
    public void Stream(INorm? norm, InputReaders readers)
    {
        if (norm is not IChannelNorm own)
        {
            string why = norm is null ? "it reads the residual stream without a norm in front" : "the norm in front is not one of whole rows";
            foreach (LinearSlot slot in readers.Slots) Refuse(slot, FoldKind.Norm, why);
            RefuseRotation($"{Names(readers)}: {why}");
            return;
        }
        _streamReaders.Add((own, readers));
        if (own.SubtractsMean) RefuseRotation($"{tensors.NameOf(own.Weight) ?? "a norm"} subtracts the mean of a row (LayerNorm), which a rotation does not keep");
        if (readers.Obstacle is not null) RefuseRotation(readers.Obstacle);
        Behind(own, readers);
    }

    /// <summary>Channels behind a norm within a part, which are none of the residual stream.</summary>
    /// <param name="norm">The norm.</param>
    /// <param name="readers">All who read what it gives.</param>
    public void Within(INorm norm, params LinearSlot[] readers)
    {
        var all = new InputReaders();
        foreach (LinearSlot slot in readers) all.Add(slot);
        if (norm is IChannelNorm own)
        {
            Behind(own, all);
            return;
        }
        foreach (LinearSlot slot in readers) Refuse(slot, FoldKind.Norm, "the norm in front is not one of whole rows");
    }

    private void Behind(IChannelNorm own, InputReaders readers)
    {
        string? name = tensors.NameOf(own.Weight), reason = readers.Obstacle ?? (name is null ? "the norm in front has no stored weight" : null);
        if (reason is not null)
        {
            foreach (LinearSlot slot in readers.Slots) Refuse(slot, FoldKind.Norm, reason);
            return;
        }
        LinearSlot[] quantized = [.. readers.Slots.Where(slot => !slot.IsKept)];
        // Where all readers stay in their own type nothing is gained.
        if (quantized.Length == 0) return;
        _sites.Add(new FoldSite(tensors, FoldKind.Norm, ModuleOf(name!), quantized, Numbers(quantized))
        {
            Norm = own,
            Matrices = [.. readers.Matrices],
            Kept = [.. readers.Slots.Where(slot => slot.IsKept)],
        });
    }

    /// <summary>Values that the output projection reads.</summary>
    /// <param name="values">Their projection.</param>
    /// <param name="output">The output projection.</param>
    /// <param name="headSize">Elements of a head of values.</param>
    /// <param name="group">Query heads that read one head of values.</param>
    /// <param name="rows">Which of the projection's rows are values, whole heads of which follow each other; null for all.</param>
    public void Values(LinearSlot values, LinearSlot output, int headSize, int group, RowPattern? rows = null)
    {
        if (output.IsKept) return;
        _sites.Add(new FoldSite(tensors, FoldKind.Values, values.Name, [output], Numbers([output]))
        {
            Rows = values,
            Channels = rows?.Count ?? values.OutFeatures,
            HeadSize = headSize,
            Group = group,
            Pattern = rows,
        });
    }

    /// <summary>Rows of an up projection that the down projection reads.</summary>
    public void Up(LinearSlot up, LinearSlot down)
    {
        if (!down.IsKept) _sites.Add(new FoldSite(tensors, FoldKind.Up, up.Name, [down], Numbers([down])) { Rows = up });
    }

    /// <summary>Says why the input of a linear cannot be scaled.</summary>
    public void Refuse(LinearSlot reader, FoldKind kind, string reason) => _refused[reader] = (kind, reason);

    /// <summary>Says why nothing of the block can be scaled or rotated.</summary>
    public void RefuseAll(string reason)
    {
        foreach (LinearSlot slot in slots) Refuse(slot, FoldKind.Norm, reason);
        RefuseRotation(reason);
    }

    /// <summary>Says why the residual stream cannot be rotated.</summary>
    public void RefuseRotation(string reason) => _obstacle ??= reason;

    /// <summary>A norm between a part and the residual stream.</summary>
    public void Behind(INorm? norm)
    {
        if (norm is null) return;
        RefuseRotation($"{(norm is IChannelNorm own ? tensors.NameOf(own.Weight) : null) ?? "a norm"} stands behind a part of the block, in front of the residual stream");
    }

    /// <summary>A linear whose output goes to the residual stream, times numbers at most.</summary>
    public void Writes(LinearSlot slot) => _writers.Add(slot);

    /// <summary>All of it.</summary>
    public BlockFolds Finish()
    {
        HashSet<int> covered = [.. _sites.SelectMany(site => site.Readers)];
        var refused = new List<RefusedFold>();
        for (int i = 0; i < slots.Count; i++)
        {
            if (covered.Contains(i)) continue;
            (FoldKind kind, string reason) = _refused.GetValueOrDefault(slots[i], (FoldKind.Norm, "the part that reads it names no exact fold"));
            refused.Add(new RefusedFold(i, slots[i].Name, kind, reason));
        }
        return new BlockFolds(tensors, _sites, refused, _streamReaders, _writers, _obstacle);
    }

    private int[] Numbers(IEnumerable<LinearSlot> readers) => [.. readers.Select(reader => IndexOf(reader))];

    private int IndexOf(LinearSlot slot)
    {
        for (int i = 0; i < slots.Count; i++)
        {
            if (ReferenceEquals(slots[i], slot)) return i;
        }
        throw new InvalidOperationException($"{slot.Name} is no slot of the block.");
    }

    private string ModuleOf(string weight)
    {
        // The block's name in front is the same for all of its tensors.
        string block = BlockNameOf(weight);
        string part = weight[block.Length..];
        return part.EndsWith(".weight", StringComparison.Ordinal) ? part[..^".weight".Length] : part;
    }

    private string BlockNameOf(string name) => tensors.BlockName is { Length: > 0 } block && name.StartsWith(block + ".", StringComparison.Ordinal) ? block + "." : "";

    private static string Names(InputReaders readers) => string.Join(", ", readers.Slots.Select(slot => slot.Name));
}

/// <summary>Which inputs of a block can be scaled exactly, which cannot and why, and whether the residual stream can be rotated.</summary>
public sealed class BlockFolds
{
    private readonly BlockTensors _tensors;
    private readonly IReadOnlyList<(IChannelNorm Norm, InputReaders Readers)> _streamReaders;

    internal BlockFolds(
        BlockTensors tensors, IReadOnlyList<FoldSite> sites, IReadOnlyList<RefusedFold> refused, IReadOnlyList<(IChannelNorm Norm, InputReaders Readers)> streamReaders,
        IReadOnlyList<LinearSlot> writers, string? obstacle)
    {
        _tensors = tensors;
        _streamReaders = streamReaders;
        Sites = sites;
        Refused = refused;
        StreamWriters = writers;
        RotationObstacle = obstacle;
    }

    /// <summary>Where a fold is exact.</summary>
    public IReadOnlyList<FoldSite> Sites { get; }

    /// <summary>Linears whose input has no exact fold; every linear that is quantized is here or a reader of one of <see cref="Sites"/>.</summary>
    public IReadOnlyList<RefusedFold> Refused { get; }

    /// <summary>Linears that write to the residual stream.</summary>
    public IReadOnlyList<LinearSlot> StreamWriters { get; }

    /// <summary>Why the residual stream cannot be rotated in this block; null where it can.</summary>
    public string? RotationObstacle { get; }

    /// <summary>
    /// Rotates the residual stream within the block: with x' = x Q in the place of x, the block gives its output times Q. The weights of norms of the stream go into their
    /// readers, W diag(g) Q, and become 1; writers become Q^T W, their biases b Q.
    /// </summary>
    /// <param name="rotation">Q, of the stream's channels.</param>
    /// <exception cref="InvalidOperationException">There is a <see cref="RotationObstacle"/>.</exception>
    public void RotateStream(IChannelRotation rotation)
    {
        if (RotationObstacle is not null) throw new InvalidOperationException($"The residual stream cannot be rotated: {RotationObstacle}.");
        foreach ((IChannelNorm norm, InputReaders readers) in _streamReaders)
        {
            double[]? gain = norm.TakeWeight(_tensors);
            foreach (LinearSlot slot in readers.Slots)
                _tensors.Change(slot, values => Rotations.Columns(values, slot.InFeatures, 0, rotation, gain, _tensors.Workers), null);
            foreach (Tensor matrix in readers.Matrices)
            {
                float[] values = matrix.ToArray();
                Rotations.Columns(values, matrix.Columns, 0, rotation, gain, _tensors.Workers);
                _tensors.Write(matrix, values, null);
            }
        }
        foreach (LinearSlot slot in StreamWriters)
        {
            _tensors.Change(slot, values => Rotations.Rows(values, slot.InFeatures, 0, rotation, _tensors.Workers), null);
            if (slot.Bias is not { } bias) continue;
            float[] values = bias.ToArray();
            Rotations.Columns(values, values.Length, 0, rotation, null, _tensors.Workers);
            _tensors.Write(bias, values, null);
        }
    }
}
