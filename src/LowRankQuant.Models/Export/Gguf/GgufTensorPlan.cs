using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
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
    private readonly HashSet<string> _branched = new(StringComparer.Ordinal);
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

    /// <summary>
    /// What is stored as floats though the source has codes, because the architecture has its matrices turned, so that what lay in a row lies in a column; null for nothing. The values
    /// are exact, in 32 bits.
    /// </summary>
    /// <param name="form">The GGUF form.</param>
    /// <param name="layout">The model's tensors.</param>
    /// <param name="isQuantized">Whether the source has codes of a tensor.</param>
    public static string? Turned(GgufForm form, ModelLayout layout, Func<string, bool> isQuantized)
    {
        GgufStored[] turned = [.. form.Place(layout, out _).Where(stored => stored.Parts is [{ Turned: > 0 }] && isQuantized(stored.Parts[0].Name))];
        if (turned.Length == 0) return null;
        const int Megabyte = 1 << 20;
        double size = turned.Sum(stored => sizeof(float) * (double)stored.Shape.Aggregate(1L, (product, one) => product * one)) / Megabyte;
        return string.Create(
            System.Globalization.CultureInfo.InvariantCulture,
            $"{turned[0].Name}{(turned.Length > 1 ? $" and {turned.Length - 1} more" : "")}: rows of {turned[0].Parts[0].Name} lie there as columns, which share no scale, so the exact values are stored as 32-bit floats ({size:0.#} MB).");
    }

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
        Architecture model = _source.Architecture;
        int width = model.EmbeddingWidth ?? _config.HiddenSize;
        _source.CheckShape(Present(model.EmbeddingName), _config.VocabularySize, width);
        if (!_config.TiedEmbeddings) _source.CheckShape(model.HeadName, _config.VocabularySize, width);
        foreach (TensorSpec tensor in _source.Layout.Tensors) _source.CheckShape(tensor.Name, [.. tensor.Shape]);
    }

    // A tied checkpoint may hold either of the two.
    private string Present(string name)
    {
        Architecture model = _source.Architecture;
        return name == model.EmbeddingName && _config.TiedEmbeddings && !_source.Contains(name) ? model.HeadName : name;
    }

    private void Build()
    {
        GgufForm form = _source.Architecture.Gguf!;
        // The head of a tied model is its embedding, whatever else the file holds under that name.
        if (_config.TiedEmbeddings) _used.Add(_source.Architecture.HeadName);
        IReadOnlyList<GgufStored> placed = form.Place(_source.Layout, out IReadOnlyList<string> unplaced);
        foreach (GgufStored stored in placed)
        {
            (GgmlType? wanted, string option) = stored.Name == GgufNames.Head ? (_options.Output, nameof(_options.Output))
                : stored.IsTable ? (_options.Embedding, nameof(_options.Embedding)) : (_options.Linear, nameof(_options.Linear));
            Add(stored, wanted, option);
        }
        foreach (GgufPart number in form.Numbers(_source.Layout).SelectMany(numbers => numbers.Parts)) _used.Add(number.Name);
        if (_source is GgufCheckpoint file)
        {
            foreach (string name in new[] { GgufNames.RopeFactors, GgufNames.LongFactors, GgufNames.ShortFactors }.Where(file.File.Contains))
                Tensors.Add(new PlannedTensor(PendingGgufTensor.Copy(file.File, name), name, false, false));
        }
        else
        {
            foreach ((string name, float[] values) in form.RopeTensors())
                Tensors.Add(new PlannedTensor(PendingGgufTensor.FromSingles(name, GgmlType.F32, [values.Length], values), null, false, false));
        }
        // What a GGUF file holds beside the model stays with it.
        if (_source is GgufCheckpoint whole)
        {
            foreach (string name in Left()) Tensors.Add(new PlannedTensor(PendingGgufTensor.Copy(whole.File, name), name, false, false));
        }
        foreach (string name in _source is GgufCheckpoint ? unplaced : unplaced.Union(Left()))
            _misfits.Add((name, $"the {form.Name} architecture of GGUF has no such tensor; without it the model would be another."));
        foreach (IGrouping<string, string> group in _misfits.GroupBy(misfit => misfit.Reason, misfit => misfit.Tensor))
        {
            int others = group.Count() - 1;
            Problems.Add($"{group.First()}{(others == 0 ? "" : $" and {others} more")}: {group.Key}");
        }
    }

    private void Add(GgufStored stored, GgmlType? wanted, string option)
    {
        foreach (GgufPart part in stored.Parts) _used.Add(Present(part.Name));
        if (wanted is null && _source is GgufCheckpoint file)
        {
            PendingGgufTensor copy = PendingGgufTensor.Copy(file.File, stored.Name);
            Tensors.Add(new PlannedTensor(copy, stored.Parts[0].Name, stored.IsLinear, copy.Type.Block().Elements > 1));
            return;
        }
        if (!(stored.IsLinear || stored.IsTable) || stored.Shape.Length < 2)
        {
            AddFloats(stored, GgmlType.F32);
            return;
        }
        // A GGUF source of another type than is asked for is rounded like floats.
        if (_source is not GgufCheckpoint && (stored.Parts is [{ Turned: > 0 }] ? AddTurned(stored) : AddQuantized(stored))) return;
        if (wanted is null && _source is HuggingFaceCheckpoint folder && stored.Parts.All(part => folder.IsMxfp4(part.Name)))
        {
            Tensors.Add(new PlannedTensor(
                new PendingGgufTensor(stored.Name, GgmlType.MXFP4, stored.Shape, sink =>
                {
                    foreach (GgufPart part in stored.Parts) folder.ReadMxfp4Blocks(part.Name, sink.Write);
                }),
                stored.Parts[0].Name, stored.IsLinear, true));
            return;
        }
        GgmlType type = wanted ?? GgmlType.F16;
        int elements = type.Block().Elements;
        if (!GgufTensorSink.TakesSingles(type))
        {
            string problem = $"{option} is {type}; floats are rounded to F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1 only.";
            if (!Problems.Contains(problem)) Problems.Add(problem);
        }
        else if (stored.Columns % elements != 0)
            _misfits.Add((Present(stored.Parts[0].Name), $"rows of {stored.Columns} do not divide into {type} blocks of {elements}; choose another type for {option}."));
        else AddFloats(stored, type);
    }

    /// <summary>Adds a tensor whose parts lie on grids, or the reason against it.</summary>
    /// <returns>False where no part lies on a grid.</returns>
    private bool AddQuantized(GgufStored stored)
    {
        // One weight is held at a time.
        var fits = new List<(string Name, GgufPart Part, GgufFit? Fit, WeightGrid? Grid)>();
        bool moved = true;
        foreach (GgufPart part in stored.Parts)
        {
            string name = Present(part.Name);
            QuantizedWeight? weight = _source.ReadQuantized(name);
            CheckBranch(name, weight);
            // Floats of other kinds become floats of the type asked for, as those of all sources do.
            if (weight is FloatWeight && GgufFit.Of(weight).Type is null) weight = null;
            QuantizedWeight? held = weight is null ? null : GgufRows.InFile(weight, part);
            if (weight is not null && held is null)
            {
                moved = false;
                if (_options.Misfit != GgufMisfit.StoreFloats) _misfits.Add((name, Moved(part, weight)));
            }
            fits.Add((name, part, held is null ? null : GgufFit.Of(held), weight?.Grid));
        }
        if (fits.TrueForAll(fit => fit.Grid is null)) return false;
        (string Name, GgufPart Part, GgufFit? Fit, WeightGrid? Grid)[] bad = [.. fits.Where(fit => fit.Fit is { Type: null })];
        bool whole = bad.Length == 0 && fits.TrueForAll(fit => fit.Fit is not null);
        if (whole && GgufFit.Common([.. fits.Select(fit => fit.Fit!)]) is { } type)
        {
            Tensors.Add(new PlannedTensor(
                new PendingGgufTensor(stored.Name, type, stored.Shape, sink =>
                {
                    foreach ((string name, GgufPart part, _, _) in fits) GgufRows.WriteQuantized(_source, name, part, type, sink);
                }),
                fits[0].Name, stored.IsLinear, true));
        }
        else if (_options.Misfit == GgufMisfit.StoreFloats) AddFloats(stored, GgmlType.F32);
        else if (bad.Length == 0 && moved)
        {
            string kinds = string.Join(", ", fits.GroupBy(fit => fit.Fit?.Type).Select(group => $"{group.Key?.ToString() ?? "floats"} ({group.First().Name})"));
            _misfits.Add((stored.Name, $"a tensor has one type of blocks, and its {fits.Count} parts come as {kinds}; quantize them alike."));
        }
        foreach ((string name, _, GgufFit? fit, WeightGrid? grid) in _options.Misfit == GgufMisfit.StoreFloats ? [] : bad)
        {
            string remedy = fit!.Nearest is { } nearest ? $"the nearest grid that fits is {nearest}" : "only floats hold it";
            _misfits.Add((name, $"{grid} fits no GGUF block: {fit.Reason}; {remedy}."));
        }
        return true;
    }

    // Codes of rows are none of columns.
    private bool AddTurned(GgufStored stored)
    {
        string name = Present(stored.Parts[0].Name);
        if (_source.ReadQuantized(name) is not { } weight) return false;
        CheckBranch(name, weight);
        AddFloats(stored, GgmlType.F32);
        return true;
    }

    private void CheckBranch(string name, QuantizedWeight? weight)
    {
        if (weight?.Branch is not null && !_options.LeavesOutBranches && _branched.Add(name))
            _misfits.Add((name, "the weight has a low-rank branch, which a GGUF model file cannot hold; export it to an adapter of its own."));
    }

    private string Moved(GgufPart part, QuantizedWeight weight) => part.Factor is null
        ? $"its columns lie in another order in the {_source.Architecture.Gguf!.Name} architecture of llama.cpp, where those that share a scale on {weight.Grid} would share none; quantize it in groups that divide a head, or by rows."
        : $"the {_source.Architecture.Gguf!.Name} architecture of llama.cpp has no place for the multipliers of the configuration, and the scales times those are no {weight.ScaleType} values; leave the layer unquantized, or store floats.";

    private void AddFloats(GgufStored stored, GgmlType type) => Tensors.Add(new PlannedTensor(
        new PendingGgufTensor(stored.Name, type, stored.Shape, sink =>
        {
            foreach (GgufPart part in stored.Parts) GgufRows.WriteFloats(_source, Present(part.Name), part, type, sink);
        }),
        Present(stored.Parts[0].Name), stored.IsLinear, false));

    /// <summary>Tensors of the source that no tensor of the file stands for.</summary>
    private IEnumerable<string> Left()
    {
        // Scales of MXFP4 codes are read with them.
        HashSet<string> scales = [.. _source.Layout.Tensors.Select(tensor => tensor.View is { IsMxfp4: true } view ? view.Mxfp4Scales : "")];
        // Old checkpoints store the rotary frequencies, which follow from the configuration.
        if (_source is not GgufCheckpoint file)
            return _source.TensorNames.Where(name => !_used.Contains(name) && !scales.Contains(name) && !_source.Architecture.IsBuffer(name));
        HashSet<string> known = [GgufNames.RopeFactors, GgufNames.LongFactors, GgufNames.ShortFactors, .. _source.TensorNames.SelectMany(file.Stored)];
        return file.File.Names.Where(name => !known.Contains(name));
    }
}
