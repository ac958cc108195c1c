using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>
/// Writes any checkpoint as a GGUF file that llama.cpp loads. Weights on an integer grid keep their codes, zero points and scales
/// (see <see cref="Formats.Gguf.Grids.GgufFit"/>); a grid that fits no block is refused, all of them at once.
/// </summary>
public static class GgufExporter
{
    private const uint QuantizationVersion = 2;

    // The file's own business: which type most tensors have, how it is cut and aligned, what it was once made from.
    private static readonly string[] OwnKeys = ["general.file_type", "general.quantization_version", "general.alignment"];
    private static readonly string[] OwnPrefixes = ["split.", "quantize."];

    /// <summary>Writes one file; it appears under its name only when it is complete.</summary>
    /// <param name="source">What to write. A GGUF source keeps its own metadata.</param>
    /// <param name="path">Destination; an existing file is replaced.</param>
    /// <param name="options">Types of what lies on no grid, and what to leave out.</param>
    /// <param name="progress">Told how many tensors are written, and of how many.</param>
    /// <param name="cancellation">Ends the work; nothing is left behind.</param>
    /// <returns>What was written.</returns>
    /// <exception cref="ExportException">The format cannot hold the model as asked; nothing was written.</exception>
    /// <exception cref="CheckpointException">A tensor is absent, misshapen or holds a value that does not fit.</exception>
    /// <exception cref="TokenizerException">The tokenizer is absent or has no GGUF form.</exception>
    /// <exception cref="IOException">The disk is too small or the path cannot be written; nothing is left behind.</exception>
    public static GgufExport Write(
        ICheckpoint source, string path, GgufExportOptions options, Action<int, int>? progress = null, CancellationToken cancellation = default)
    {
        var problems = new List<string>();
        if (source is AdaptedCheckpoint adapted)
        {
            if (!options.LeavesOutBranches) problems.Add($"{source.Location} has low-rank branches, which a GGUF model file cannot hold; export them to an adapter of their own.");
            source = adapted.Base;
        }
        if (Path.GetFullPath(path) == Path.GetFullPath(source.Location))
            problems.Add($"{path} is the source itself; name another file.");
        if (!options.DespiteLimits || source.Architecture.Gguf is null) problems.AddRange(Problems(source));
        if (problems.Count > 0) throw new ExportException(problems);
        GgufTensorPlan plan = GgufTensorPlan.For(source, options);
        if (plan.Problems.Count > 0) throw new ExportException(plan.Problems);
        GgufTokenizerPlan tokenizer = GgufTokenizerPlan.For(source, options);
        if (tokenizer.Problems.Count > 0) throw new ExportException(tokenizer.Problems);

        List<KeyValuePair<string, GgufValue>> metadata = source is GgufCheckpoint file
            ? PassOn(file, plan, options)
            : Describe(source, plan, options, tokenizer);
        int done = 0;
        PendingGgufTensor[] tensors = [.. plan.Tensors.Select(planned => planned.Tensor with
        {
            Write = sink =>
            {
                planned.Tensor.Write(sink);
                progress?.Invoke(++done, plan.Tensors.Count);
            },
        })];
        long bytes = GgufWriter.Write(path, metadata, tensors, cancellation);
        string? turned = source is GgufCheckpoint ? null : GgufTensorPlan.Turned(source.Architecture.Gguf!, source.Layout, name => source.ReadQuantized(name) is not null);
        return new GgufExport(path, bytes, [.. plan.Tensors.Select(planned => planned.Exported)], [.. turned is null ? [] : new[] { turned }, .. tokenizer.Notes]);
    }

    /// <summary>Why a source has no GGUF form that llama.cpp computes alike, a sentence each. A GGUF source passes its own keys on.</summary>
    internal static IEnumerable<string> Problems(ICheckpoint source)
    {
        if (source is GgufCheckpoint) return [];
        return source.Architecture.Gguf?.Problems ?? [$"model_type '{source.Config.ModelType}' has no counterpart among the GGUF architectures of llama.cpp; export to another format."];
    }

    private static List<KeyValuePair<string, GgufValue>> Describe(ICheckpoint source, GgufTensorPlan plan, GgufExportOptions options, GgufTokenizerPlan tokenizer)
    {
        var metadata = new List<KeyValuePair<string, GgufValue>>
        {
            new("general.architecture", GgufValue.Of(source.Architecture.Gguf!.Name)),
            new("general.type", GgufValue.Of("model")),
            new("general.name", GgufValue.Of(options.Name ?? NameOf(source.Location))),
        };
        metadata.AddRange(FileKeys(plan));
        metadata.AddRange(source.Architecture.Gguf!.Metadata());
        foreach (GgufStored numbers in source.Architecture.Gguf!.Numbers(source.Layout))
            metadata.Add(new(numbers.Name, GgufValue.Of(numbers.Parts.Select(part => source.ReadFor(part.Name, SafetensorsType.F32)[0]).ToArray())));
        if (tokenizer.Vocabulary is not { } vocabulary)
        {
            metadata.Add(GgufVocabularyMetadata.None);
            return metadata;
        }
        // The configuration names them where the tokenizer's files do not.
        vocabulary = vocabulary with { BosId = vocabulary.BosId ?? source.Config.BosId, EosId = vocabulary.EosId ?? First(source.Config.EosIds) };
        metadata.AddRange(GgufVocabularyMetadata.Of(vocabulary, PaddingId(source), source.ReadChatTemplates()));
        return metadata;
    }

    private static List<KeyValuePair<string, GgufValue>> PassOn(GgufCheckpoint source, GgufTensorPlan plan, GgufExportOptions options)
    {
        var metadata = new List<KeyValuePair<string, GgufValue>>();
        foreach ((string key, GgufValue value) in source.File.Metadata.All)
        {
            if (OwnKeys.Contains(key) || OwnPrefixes.Any(prefix => key.StartsWith(prefix, StringComparison.Ordinal))) continue;
            if (options.WithoutTokenizer && key.StartsWith("tokenizer.", StringComparison.Ordinal)) continue;
            metadata.Add(new(key, key == "general.name" && options.Name is { } name ? GgufValue.Of(name) : value));
        }
        if (options.WithoutTokenizer) metadata.Add(GgufVocabularyMetadata.None);
        metadata.AddRange(FileKeys(plan));
        return metadata;
    }

    private static IEnumerable<KeyValuePair<string, GgufValue>> FileKeys(GgufTensorPlan plan)
    {
        GgmlType most = plan.Tensors.Where(tensor => tensor.IsLinear).GroupBy(tensor => tensor.Tensor.Type)
            .MaxBy(group => group.Sum(tensor => tensor.Tensor.ElementCount))!.Key;
        yield return new("general.file_type", GgufValue.Of(GgufFileType.For(most)));
        yield return new("general.quantization_version", GgufValue.Of(QuantizationVersion));
    }

    private static int? PaddingId(ICheckpoint source) =>
        source.HuggingFaceConfig["pad_token_id"] is System.Text.Json.Nodes.JsonValue value && value.TryGetValue(out int id) && id >= 0 ? id : null;

    private static int? First(IReadOnlyList<int> ids) => ids.Count > 0 ? ids[0] : null;

    private static string NameOf(string location) => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(location)));
}
