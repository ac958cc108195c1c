using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>
/// GGUF for llama.cpp: one file, and branches as a LoRA file beside it. Floats that lie on no grid are stored as asked, else as F16, or as they are when the
/// source is a GGUF file.
/// </summary>
public sealed class GgufModelExporter : IExporter
{
    /// <inheritdoc/>
    public string Name => "gguf";

    /// <inheritdoc/>
    public bool WritesFile => true;

    /// <inheritdoc/>
    public IReadOnlyList<ExportAdapter> Adapters => [ExportAdapter.GgufLora];

    /// <inheritdoc/>
    public bool MergesBranches => false;

    /// <summary><c>model.lora.gguf</c> beside <c>model.gguf</c>.</summary>
    public string AdapterPath(string output) => GgufLoraExporter.PathBeside(output);

    /// <inheritdoc/>
    public IReadOnlyList<string> FindProblems(ExportSource source, ExportOptions options)
    {
        List<string> problems = [];
        if (source.Checkpoint.Quantizers is { } quantizers && !options.WeightsOnly)
            problems.Add($"{source.Checkpoint.Location}: GGUF has no place for {quantizers.Description}; give `weights_only` to leave that behind.");
        // Without this they would be rounded to F16 like any float.
        problems.AddRange(source.Linears.Where(linear => linear.Ordered).Select(linear =>
            $"{linear.Module}: its columns have an activation order (g_idx), which only gptq holds; export `to` gptq or dense."));
        if (source.Checkpoint is not GgufCheckpoint)
            problems.AddRange(source.OffGrid.Where(module => !IsMxfp4(source.Checkpoint, module)).Select(module => $"{module}: its values lie on no grid that GGUF's blocks hold; export `to` dense."));
        if (source.Adapter is not null && !options.Overwrite && File.Exists(AdapterPath(options.Output)))
            problems.Add($"{AdapterPath(options.Output)} is there already; choose another `out`, or give `overwrite`.");
        problems.AddRange(GgufExporter.Problems(source.Checkpoint));
        if (problems.Count == 0) problems.AddRange(GgufTensorPlan.For(source.Checkpoint, options.Gguf).Problems);
        if (problems.Count == 0) problems.AddRange(GgufTokenizerPlan.For(source.Checkpoint, options.Gguf).Problems);
        return problems;
    }

    /// <summary>An architecture, a rotation or an activation that llama.cpp does not have, and a vocabulary that has no GGUF form.</summary>
    public IReadOnlyList<string> FindObstacles(ICheckpoint original, ExportOptions options)
    {
        string[] limits = [.. GgufExporter.Problems(original)];
        return limits.Length > 0 ? limits : GgufTokenizerPlan.For(original, options.Gguf).Problems;
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> FindWarnings(ExportSource source, ExportOptions options)
    {
        var warnings = new List<string>();
        ICheckpoint model = source.Checkpoint;
        if (model is not GgufCheckpoint && model.Architecture.Gguf is { } form)
        {
            warnings.AddRange(form.Warnings);
            HashSet<string> quantized = [.. source.Linears.Select(linear => linear.Module), .. source.TwoLevel, .. source.Affine.Select(linear => linear.Module)];
            if (GgufTensorPlan.Turned(form, model.Layout, name => quantized.Contains(name[..^".weight".Length])) is { } turned) warnings.Add(turned);
        }
        return [.. warnings, .. GgufTokenizerPlan.For(model, options.Gguf).Warnings];
    }

    // Those go into blocks of their own kind as they are.
    private static bool IsMxfp4(ICheckpoint source, string module) => source is HuggingFaceCheckpoint folder
        && (folder.IsMxfp4($"{module}.weight") || folder.ReadQuantized($"{module}.weight") is FloatWeight weight && weight.Grid == FloatGrid.Mxfp4);

    /// <inheritdoc/>
    public void Write(ExportSource source, ExportOptions options, Action<int, int>? progress, CancellationToken cancellation)
    {
        if (source.Adapter is null)
        {
            GgufExporter.Write(source.Checkpoint, options.Output, options.Gguf, progress, cancellation);
            return;
        }
        // Both are whole on disk before either takes the place of an earlier one.
        string adapter = AdapterPath(options.Output), aside = adapter + ".staged";
        try
        {
            GgmlType? type = options.AdapterType switch
            {
                AdapterType.Float32 => GgmlType.F32,
                AdapterType.Float16 => GgmlType.F16,
                AdapterType.Blocks8 => GgmlType.Q8_0,
                _ => null,
            };
            GgufLoraExporter.Write(source.Whole, aside, type, cancellation);
            GgufExporter.Write(source.Checkpoint, options.Output, options.Gguf, progress, cancellation);
            File.Move(aside, adapter, overwrite: true);
        }
        finally
        {
            File.Delete(aside);
        }
    }
}
