using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>
/// Decides the type of every tensor of a file before anything is written, collecting all reasons against it. Quantized weights are read one at a time
/// to see whether their codes and scales fit.
/// </summary>
internal sealed class GgufTensorPlan
{
    private readonly ICheckpoint _source;
    private readonly GgufExportOptions _options;
    private readonly DecoderConfig _config;
    private readonly HashSet<string> _used = new(StringComparer.Ordinal);
    private readonly List<(string Tensor, string Reason)> _misfits = [];

    private GgufTensorPlan(ICheckpoint source, GgufExportOptions options)
    {
        _source = source;
        _options = options;
        _config = source.Config;
    }

    /// <summary>Tensors in the order of the file.</summary>
    public List<PlannedTensor> Tensors { get; } = [];

    /// <summary>Why the model cannot be written as asked, a sentence each.</summary>
    public List<string> Problems { get; } = [];

    /// <summary>Looks at every tensor.</summary>
    /// <exception cref="CheckpointException">A tensor is absent or has another shape than the configuration asks for.</exception>
    public static GgufTensorPlan For(ICheckpoint source, GgufExportOptions options)
    {
        var plan = new GgufTensorPlan(source, options);
        plan.CheckShapes();
        plan.Build();
        return plan;
    }

    private void CheckShapes()
    {
        _source.CheckShape(EmbeddingSource, _config.VocabularySize, _config.HiddenSize);
        if (!_config.TiedEmbeddings) _source.CheckShape(_source.Architecture.HeadName, _config.VocabularySize, _config.HiddenSize);
        foreach (TensorSpec tensor in _source.Layout.Tensors) _source.CheckShape(tensor.Name, [.. tensor.Shape]);
    }

    // A tied checkpoint may hold either of the two.
    private string EmbeddingSource => _config.TiedEmbeddings && !_source.Contains(GgufNames.Embedding) ? GgufNames.Head : GgufNames.Embedding;

    private void Build()
    {
        foreach ((string gguf, string huggingFace) in GgufNames.All(_config.Layers))
        {
            if (huggingFace == GgufNames.Embedding) Add(gguf, EmbeddingSource, _options.Embedding, nameof(_options.Embedding));
            else if (huggingFace == GgufNames.Head)
            {
                // The head of a tied model is its embedding, whatever else the file holds under that name.
                if (_config.TiedEmbeddings) _used.Add(huggingFace);
                else Add(gguf, huggingFace, _options.Output, nameof(_options.Output));
            }
            else if (_source.Contains(huggingFace)) Add(gguf, huggingFace, _options.Linear, nameof(_options.Linear));
        }
        if (_source is GgufCheckpoint file && file.File.Contains(GgufNames.RopeFactors))
            Tensors.Add(new PlannedTensor(PendingGgufTensor.Copy(file.File, GgufNames.RopeFactors), GgufNames.RopeFactors, false, false));
        else if (GgufHyperparameters.RopeFactors(_config.Rope) is { } factors)
            Tensors.Add(new PlannedTensor(PendingGgufTensor.FromSingles(GgufNames.RopeFactors, GgmlType.F32, [factors.Length], factors), null, false, false));
        foreach (string name in Left())
            _misfits.Add((name, $"the {GgufHyperparameters.Architecture} architecture of GGUF has no such tensor; without it the model would be another."));
        foreach (IGrouping<string, string> group in _misfits.GroupBy(misfit => misfit.Reason, misfit => misfit.Tensor))
        {
            int others = group.Count() - 1;
            Problems.Add($"{group.First()}{(others == 0 ? "" : $" and {others} more")}: {group.Key}");
        }
    }

    private void Add(string gguf, string name, GgmlType? wanted, string option)
    {
        _used.Add(name);
        IReadOnlyList<int> shape = _source.ShapeOf(name);
        bool linear = shape.Count == 2 && name is not (GgufNames.Embedding or GgufNames.Head);
        if (wanted is null && _source is GgufCheckpoint file)
        {
            PendingGgufTensor copy = PendingGgufTensor.Copy(file.File, file.Stored(name)) with { Name = gguf };
            Tensors.Add(new PlannedTensor(copy, name, linear, copy.Type.Block().Elements > 1));
            return;
        }
        if (shape.Count != 2)
        {
            AddFloats(gguf, name, shape, GgmlType.F32, linear);
            return;
        }
        if (_source is not GgufCheckpoint && _source.ReadQuantized(name) is { } weight)
        {
            AddQuantized(gguf, name, shape, weight, linear);
            return;
        }
        GgmlType type = wanted ?? GgmlType.F16;
        int elements = type.Block().Elements;
        if (!GgufTensorSink.TakesSingles(type))
        {
            string problem = $"{option} is {type}; floats are rounded to F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1 only.";
            if (!Problems.Contains(problem)) Problems.Add(problem);
        }
        else if (shape[1] % elements != 0) _misfits.Add((name, $"rows of {shape[1]} do not divide into {type} blocks of {elements}; choose another type for {option}."));
        else AddFloats(gguf, name, shape, type, linear);
    }

    private void AddQuantized(string gguf, string name, IReadOnlyList<int> shape, QuantizedWeight weight, bool linear)
    {
        if (weight.Branch is not null && !_options.LeavesOutBranches)
            _misfits.Add((name, "the weight has a low-rank branch, which a GGUF model file cannot hold; export it to an adapter of its own."));
        GgufFit fit = GgufFit.Of(weight);
        if (fit.Type is { } type)
        {
            var tensor = new PendingGgufTensor(gguf, type, Long(shape), sink => GgufRows.WriteQuantized(_source, name, type, sink));
            Tensors.Add(new PlannedTensor(tensor, name, linear, true));
        }
        else if (_options.Misfit == GgufMisfit.StoreFloats) AddFloats(gguf, name, shape, GgmlType.F32, linear);
        else
        {
            string remedy = fit.Nearest is { } nearest ? $"the nearest grid that fits is {nearest}" : "only floats hold it";
            _misfits.Add((name, $"{weight.Grid} fits no GGUF block: {fit.Reason}; {remedy}."));
        }
    }

    private void AddFloats(string gguf, string name, IReadOnlyList<int> shape, GgmlType type, bool linear) => Tensors.Add(new PlannedTensor(
        new PendingGgufTensor(gguf, type, Long(shape), sink => GgufRows.WriteFloats(_source, name, type, sink)), name, linear, false));

    private static long[] Long(IReadOnlyList<int> shape) => [.. shape.Select(size => (long)size)];

    /// <summary>Tensors of the source that no tensor of the file stands for.</summary>
    private IEnumerable<string> Left()
    {
        // Old checkpoints store the rotary frequencies, which follow from the configuration.
        if (_source is not GgufCheckpoint file)
            return _source.TensorNames.Where(name => !_used.Contains(name) && !name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal));
        HashSet<string> known = [GgufNames.RopeFactors, .. _source.TensorNames.Select(file.Stored)];
        return file.File.Names.Where(name => !known.Contains(name));
    }
}
