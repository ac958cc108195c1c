using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Export;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Verification.Engines;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Verification;

/// <summary>
/// Reads a container again from disk: every tensor whole, and, against a run, codes, zero points and stored scales of every quantized linear, values
/// rounded as the container's engines round them, every other tensor in its stored type, the output head whatever it is called, the adapter, and what
/// decides the function beside tensors (<see cref="FunctionComparer"/>).
/// </summary>
public sealed class CheckpointVerifier
{
    private const string Weight = ".weight";
    private readonly ICheckpoint _container;
    private readonly ExportSource _stored;
    private readonly ExportSource? _run;
    private readonly List<Difference> _differences = [];
    private readonly List<string> _notes = [];
    private readonly List<string> _rounded = [];
    private int _byCodes;
    private int _byValues;
    private int _branches;
    private int _texts;
    private int _templates;

    /// <summary>Prepares a verification.</summary>
    /// <param name="container">The container; stays the caller's.</param>
    /// <param name="run">What it was made from, or null.</param>
    public CheckpointVerifier(ICheckpoint container, ICheckpoint? run)
    {
        _container = container;
        _stored = new ExportSource(container);
        _run = run is null ? null : new ExportSource(run);
    }

    /// <summary>Told how many tensors are done, of how many.</summary>
    public Action<int, int>? Progress { get; init; }

    /// <summary>What engines do with a container by their rules of loading: of its names, shapes and codes, values are not looked at.</summary>
    /// <param name="container">The container; stays the caller's.</param>
    public static IReadOnlyList<EngineVerdict> EnginesOf(ICheckpoint container) => EngineCatalog.Judge(StoredModel.Of(new ExportSource(container)));

    /// <summary>Reads and compares everything.</summary>
    /// <exception cref="CheckpointFormatException">A tensor of the container is unsound.</exception>
    /// <exception cref="CheckpointException">A tensor of the container holds NaN or infinity, or is absent.</exception>
    public VerifyReport Run(CancellationToken cancellation)
    {
        string[] names = [.. _stored.Checkpoint.TensorNames.Order(StringComparer.Ordinal)];
        Dictionary<string, ExportLinear> linears = _run?.Linears.ToDictionary(linear => linear.Module + Weight) ?? [];
        for (int i = 0; i < names.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            float[] values = Read(_stored.Checkpoint, names[i]);
            int bad = Array.FindIndex(values, value => !float.IsFinite(value));
            if (bad >= 0) throw new CheckpointException($"{_container.Location}: tensor '{names[i]}' holds {values[bad]} at element {bad}; every value must be finite.");
            if (_run is not null) Compare(names[i], values, linears.GetValueOrDefault(names[i]));
            Progress?.Invoke(i + 1, names.Length);
        }
        if (_run is not null)
        {
            FindMissing(names);
            CompareAdapters();
            CompareFunction();
            if (_rounded.Count > 0)
            {
                string others = _rounded.Count > 1 ? $" and {_rounded.Count - 1} more" : "";
                _notes.Add($"{_rounded[0]}{others}: kept in fewer than 16 bits an element, where the run has floats, and not compared");
            }
        }
        return new VerifyReport
        {
            Kind = _container.Kind,
            Tensors = names.Length,
            Linears = _stored.Linears.Count + _stored.Affine.Count,
            ComparedByCodes = _byCodes,
            ComparedByValues = _byValues,
            Branches = _branches,
            Texts = _texts,
            Templates = _templates,
            Differences = _differences,
            Notes = _notes,
            Engines = EngineCatalog.Judge(StoredModel.Of(_stored)),
        };
    }

    private QuantizedContainer? Layout => (_stored.Checkpoint as HuggingFaceCheckpoint)?.Container;

    // GGUF's blocks: codes may lie in a wider one.
    private bool InBlocks => _stored.Checkpoint is GgufCheckpoint;

    private bool IsDense => _stored.Checkpoint is HuggingFaceCheckpoint { Container: null };

    private void Compare(string name, float[] values, ExportLinear? linear)
    {
        ICheckpoint run = _run!.Checkpoint;
        if (!run.Contains(name) && Twin(run, name) is { } shared)
        {
            // A matrix of its own here, shared with the embedding there: the same function where the values are.
            CompareFloats(name, values, Read(run, shared), shared);
            return;
        }
        if (!run.Contains(name))
        {
            _differences.Add(new Difference(name, "the run has no such tensor"));
            return;
        }
        if (linear is null && !IsDense && run.ReadQuantized(name) is { } other)
        {
            QuantizedWeight? held = _stored.Checkpoint.ReadQuantized(name);
            if (held is not null || other is AffineWeight || _run.TwoLevel.Contains(name[..^Weight.Length]))
            {
                CompareOther(name, values, other, held);
                return;
            }
        }
        if (linear is null || IsDense)
        {
            CompareFloats(name, values, Read(IsDense && _stored.Adapter is null ? _run.Whole : run, name));
            return;
        }
        OrderedWeight expected = _run.Load(linear);
        if (_stored.Checkpoint.ReadOrdered(name) is { } actual)
        {
            _byCodes++;
            if (WeightComparer.Compare(name, expected, actual, InBlocks) is { } unlike)
            {
                _differences.Add(unlike);
                return;
            }
        }
        CompareValues(name, values, expected);
    }

    // A weight that is no linear on a uniform grid, such as one of two levels or a quantized embedding; by values alone on grids of two kinds.
    private void CompareOther(string name, float[] values, QuantizedWeight expected, QuantizedWeight? actual)
    {
        Difference? unlike = null;
        if (actual?.GetType() == expected.GetType()) _byCodes++;
        if (expected is TwoLevelWeight native && actual is TwoLevelWeight held) unlike = WeightComparer.Compare(name, native, held);
        else if (expected is AffineWeight minima && actual is AffineWeight same) unlike = WeightComparer.Compare(name, minima, same, InBlocks);
        else if (expected is FloatWeight floats && actual is FloatWeight others) unlike = WeightComparer.Compare(name, floats, others);
        else if (expected is UniformWeight run && actual is UniformWeight stored)
            unlike = WeightComparer.Compare(name, new OrderedWeight(run, null), new OrderedWeight(stored, null), InBlocks);
        _byValues++;
        var wanted = new float[values.Length];
        if (expected is AffineWeight affine && Layout is { } layout)
        {
            layout.Round(affine.WithBranch(null), wanted);
            ((HuggingFaceCheckpoint)_stored.Checkpoint).ReadRounded(name, values);
        }
        else expected.Dequantize(wanted);
        if ((unlike ?? WeightComparer.Compare(name, wanted, values)) is { } difference) _differences.Add(difference);
    }

    // Values as the engines round them, from the container's tensors on one side and from the run's codes on the other.
    private void CompareValues(string name, float[] values, OrderedWeight expected)
    {
        _byValues++;
        var wanted = new float[values.Length];
        expected.Dequantize(wanted);
        if (Layout is { } layout)
        {
            layout.Round(expected, wanted);
            ((HuggingFaceCheckpoint)_stored.Checkpoint).ReadRounded(name, values);
        }
        if (WeightComparer.Compare(name, wanted, values) is { } difference) _differences.Add(difference);
    }

    private void CompareFloats(string name, float[] values, float[] expected, string? runName = null, string? storedName = null)
    {
        const int PlainFloatBits = 16;
        double bits = (double)_stored.Checkpoint.StoredBitsOf(storedName ?? name) / values.Length;
        bool isNarrow = bits < PlainFloatBits;
        // Norms that a file holds as 1 + w lose what no float near 1 has, and rates what an exponential does.
        if (_stored.Checkpoint is GgufCheckpoint file) expected = file.Kept(storedName ?? name, expected);
        if (isNarrow && _run!.Checkpoint.StoredBitsOf(runName ?? name) >= PlainFloatBits * (long)values.Length)
        {
            _rounded.Add(name);
            return;
        }
        if (isNarrow)
        {
            // Codes with a float minimum on both sides.
            _byValues++;
            if (WeightComparer.Compare(name, expected, values) is { } unlike) _differences.Add(unlike);
            return;
        }
        _byValues++;
        Difference? difference = null;
        foreach (ScaleType type in bits >= 32 ? [ScaleType.Float32] : new[] { ScaleType.BFloat16, ScaleType.Float16 })
        {
            float[] rounded = [.. expected.Select(value => StorageScale.RoundAny(value, type))];
            difference = WeightComparer.Compare(name, rounded, values);
            if (difference is null) return;
        }
        _differences.Add(difference!);
    }

    private void FindMissing(string[] names)
    {
        HashSet<string> there = [.. names];
        foreach (string name in _run!.Checkpoint.TensorNames.Where(name => !there.Contains(name)))
        {
            if (_run.Checkpoint.Architecture.IsBuffer(name)) continue;
            if (Twin(_stored.Checkpoint, name) is not { } shared) _differences.Add(new Difference(name, "the container has no such tensor"));
            else CompareFloats(name, Read(_stored.Checkpoint, shared), Read(_run.Checkpoint, name), storedName: shared);
        }
        // Engines take the embedding where the configuration ties it to the head, whatever else the folder holds.
        string head = _stored.Head + Weight, embedding = Embedding(_stored.Checkpoint);
        if (IsTiedByName(_stored.Checkpoint) && there.Contains(head) && there.Contains(embedding)
            && !Read(_stored.Checkpoint, head).AsSpan().SequenceEqual(Read(_stored.Checkpoint, embedding)))
            _differences.Add(new Difference("tie_word_embeddings", $"is true, and {head} is another matrix than {embedding}, which engines then leave out"));
    }

    // The name under which a checkpoint stores a matrix that serves as embedding and as head, where the asked one is the other name.
    private static string? Twin(ICheckpoint checkpoint, string name)
    {
        Architecture family = checkpoint.Architecture;
        string? other = name == family.HeadName ? family.EmbeddingName : name == family.EmbeddingName ? family.HeadName : null;
        return other is not null && checkpoint.Config.TiedEmbeddings && !checkpoint.Contains(name) && checkpoint.Contains(other) ? other : null;
    }

    private static string Embedding(ICheckpoint checkpoint) => checkpoint.Architecture.EmbeddingName;

    // By the file itself: the checkpoint corrects what its tensors contradict, and engines do not.
    private static bool IsTiedByName(ICheckpoint checkpoint) => checkpoint is HuggingFaceCheckpoint
        && ModelConfigFile.Read(Path.Combine(checkpoint.Location, ModelConfigFile.Name))["tie_word_embeddings"] is JsonValue flag && flag.TryGetValue(out bool tied) && tied;

    private void CompareFunction()
    {
        var function = new FunctionComparer(_run!.Checkpoint, _stored.Checkpoint);
        _differences.AddRange(function.Compare());
        _notes.AddRange(function.Notes.Distinct());
        _texts = function.Texts;
        _templates = function.Templates;
    }

    private void CompareAdapters()
    {
        if (_run!.Adapter is null && _stored.Adapter is null) return;
        if (_stored.Adapter is not null && _run.Adapter is not null) CompareBranches(_run.Adapter, _stored.Adapter);
        else if (_stored.Adapter is not null) _differences.Add(new Difference(_stored.Adapter.Location, "the run has no low-rank branch"));
        else if (_stored.Checkpoint is GgufCheckpoint) CompareFileBeside(_run.Adapter!);
        else if (!IsDense) _differences.Add(new Difference(_container.Location, "the run has low-rank branches, the container has no adapter"));
    }

    // A GGUF model file has no place for branches; an export puts them into a file beside it.
    private void CompareFileBeside(ILowRankAdapter expected)
    {
        string beside = GgufLoraExporter.PathBeside(_container.Location);
        if (File.Exists(beside))
        {
            using ILowRankAdapter adapter = AdapterOpener.Open(beside, _container);
            CompareBranches(expected, adapter);
            return;
        }
        _notes.Add($"the run's low-rank branches are in a file of their own (GGUF LoRA), which is not at {beside}: verify it by itself, against the run");
    }

    private void CompareBranches(ILowRankAdapter expected, ILowRankAdapter actual)
    {
        _branches = expected.Modules.Union(actual.Modules).Count();
        _differences.AddRange(BranchComparer.Compare(expected, actual));
    }

    private static float[] Read(ICheckpoint checkpoint, string name)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => checked(product * size))];
        checkpoint.Read(name, values);
        return values;
    }
}
