using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// An adapter whose modules are those of its family's folders, read as branches of the model's linears: a branch of a fused projection is one for every linear in it.
/// A part's branch has the columns of B from the first to the last that is not zero in its rows, so that what was joined comes apart as it was.
/// </summary>
internal sealed class SplitAdapter : ILowRankAdapter
{
    private readonly ILowRankAdapter _adapter;
    private readonly Dictionary<string, Part> _parts = new(StringComparer.Ordinal);
    private readonly List<string> _modules = [];

    private SplitAdapter(ILowRankAdapter adapter, FolderForm form)
    {
        _adapter = adapter;
        foreach (string stored in adapter.Modules)
        {
            if (form.FusedAs(stored) is not { } whole)
            {
                _modules.Add(stored);
                continue;
            }
            if (adapter.ShapeOf(stored) is var shape && shape != (whole.OutFeatures, whole.InFeatures))
                throw new CheckpointException($"{adapter.Location}: the branch of '{stored}' is for [{shape.OutFeatures}, {shape.InFeatures}] and the module has [{whole.OutFeatures}, {whole.InFeatures}].");
            for (int i = 0; i < whole.Parts.Count; i++)
            {
                if (!_parts.TryAdd(whole.Parts[i].Module, new Part(stored, whole, i)))
                    throw new CheckpointException($"{adapter.Location}: '{whole.Parts[i].Module}' has two branches; remove one of them.");
                _modules.Add(whole.Parts[i].Module);
            }
        }
    }

    /// <inheritdoc/>
    public string Location => _adapter.Location;

    /// <inheritdoc/>
    public string Kind => _adapter.Kind;

    /// <inheritdoc/>
    public string TensorPath => _adapter.TensorPath;

    /// <inheritdoc/>
    public long StoredBytes => _adapter.StoredBytes;

    /// <inheritdoc/>
    public IReadOnlyCollection<string> Modules => _modules;

    /// <summary>The adapter by the model's linears; itself where it has no fused module.</summary>
    /// <param name="adapter">The adapter; owned by the result.</param>
    /// <param name="form">How folders of the model's family hold its tensors.</param>
    /// <exception cref="CheckpointException">A fused module has another shape than its branch, or a linear two branches.</exception>
    public static ILowRankAdapter Of(ILowRankAdapter adapter, FolderForm form)
    {
        try
        {
            return adapter.Modules.Any(module => form.FusedAs(module) is not null) ? new SplitAdapter(adapter, form) : adapter;
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public LowRankBranch? Read(string module)
    {
        if (!_parts.TryGetValue(module, out Part? part)) return _adapter.Read(module);
        LowRankBranch whole = _adapter.Read(part.Stored)!;
        (int first, int rank) = Columns(part, whole);
        if (rank == 0) return null;
        int inFeatures = part.Whole.InFeatures;
        StoredView view = part.Whole.Parts[part.Index].View;
        float[] a = whole.A.AsSpan(first * inFeatures, rank * inFeatures).ToArray();
        var b = new float[view.Pattern.Count * rank];
        for (int row = 0; row < view.Pattern.Count; row++)
            whole.B.AsSpan((view.Pattern.Of(row) * whole.Rank) + first, rank).CopyTo(b.AsSpan(row * rank));
        return new LowRankBranch(rank, a, b, whole.BitsPerFactor);
    }

    /// <inheritdoc/>
    public (int OutFeatures, int InFeatures) ShapeOf(string module) =>
        _parts.TryGetValue(module, out Part? part) ? (part.Whole.Parts[part.Index].View.Pattern.Count, part.Whole.InFeatures) : _adapter.ShapeOf(module);

    /// <inheritdoc/>
    public int RankOf(string module) => _parts.TryGetValue(module, out Part? part) ? Columns(part).Count : _adapter.RankOf(module);

    /// <inheritdoc/>
    public long StoredBitsOf(string module)
    {
        if (!_parts.TryGetValue(module, out Part? part)) return _adapter.StoredBitsOf(module);
        // What the file holds for the whole, by rows; the first part takes what does not divide.
        Part[] sharing = [.. _parts.Values.Where(other => other.Stored == part.Stored)];
        long bits = _adapter.StoredBitsOf(part.Stored), rows = sharing.Sum(Rows);
        long others = sharing.Skip(1).Sum(other => bits * Rows(other) / rows);
        return part == sharing[0] ? bits - others : bits * Rows(part) / rows;

        static long Rows(Part one) => one.Whole.Parts[one.Index].View.Pattern.Count;
    }

    /// <inheritdoc/>
    public void Dispose() => _adapter.Dispose();

    private (int First, int Count) Columns(Part part) => part.Columns ??= Columns(part, _adapter.Read(part.Stored)!);

    // From the first to the last column of B that is not zero in the part's rows.
    private static (int First, int Count) Columns(Part part, LowRankBranch whole)
    {
        RowPattern rows = part.Whole.Parts[part.Index].View.Pattern;
        int first = whole.Rank, last = -1;
        for (int row = 0; row < rows.Count; row++)
        {
            ReadOnlySpan<float> b = whole.B.AsSpan(rows.Of(row) * whole.Rank, whole.Rank);
            int left = b.IndexOfAnyExcept(0f);
            if (left < 0) continue;
            first = Math.Min(first, left);
            last = Math.Max(last, b.LastIndexOfAnyExcept(0f));
        }
        return last < 0 ? (0, 0) : (first, last - first + 1);
    }

    private sealed class Part(string stored, FusedModule whole, int index)
    {
        public string Stored { get; } = stored;

        public FusedModule Whole { get; } = whole;

        public int Index { get; } = index;

        // Found when the branch is first read.
        public (int First, int Count)? Columns { get; set; }
    }
}
