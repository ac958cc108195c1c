using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export.Gguf;

/// <summary>
/// Writes the low-rank branches of a model as a GGUF LoRA adapter: y = W x + B (A x) on whatever base file, each tensor with its own rank. alpha is 0,
/// which llama.cpp reads as a factor of 1 for every rank.
/// </summary>
/// <remarks>
/// | tensor | shape | rows |
/// | --- | --- | --- |
/// | NAME.weight.lora_a | [rank, inFeatures] | as they are |
/// | NAME.weight.lora_b | [outFeatures, rank] | q and k in interleaved rotary order, as the base file has them |
/// Source: ggml-org/llama.cpp, src/llama-adapter.cpp, convert_lora_to_gguf.py.
/// </remarks>
public static class GgufLoraExporter
{
    /// <summary>Where the adapter of a model file goes: <c>model.lora.gguf</c> beside <c>model.gguf</c>.</summary>
    public static string PathBeside(string model) => Path.ChangeExtension(model, ".lora.gguf");

    /// <summary>Writes one file; it appears under its name only when it is complete.</summary>
    /// <param name="source">A model with branches.</param>
    /// <param name="path">Destination; an existing file is replaced.</param>
    /// <param name="type">F32 or F16; null for F16 where every factor is a half, else F32, so that nothing is rounded.</param>
    /// <param name="cancellation">Ends the work; nothing is left behind.</param>
    /// <returns>The tensors written.</returns>
    /// <exception cref="ExportException">The model has no branch, or one that llama.cpp cannot apply.</exception>
    /// <exception cref="CheckpointException">A factor does not fit the type.</exception>
    /// <exception cref="IOException">The disk is too small or the path cannot be written; nothing is left behind.</exception>
    public static GgufExport Write(ICheckpoint source, string path, GgmlType? type = null, CancellationToken cancellation = default)
    {
        if (type is not (null or GgmlType.F32 or GgmlType.F16)) throw new ExportException($"The factors of an adapter are F32 or F16; {type} was asked for.");
        if (source is not AdaptedCheckpoint adapted) throw new ExportException($"{source.Location} has no low-rank branches; there is no adapter to write.");
        List<string> problems = adapted.Base is GgufCheckpoint ? [] : [.. GgufHyperparameters.Problems(source.Config)];
        Dictionary<string, string> names = GgufNames.All(source.Config.Layers).ToDictionary(pair => pair.HuggingFace, pair => pair.Gguf, StringComparer.Ordinal);
        foreach (string name in adapted.BranchNames)
        {
            // llama.cpp refuses an adapter on a tied head and ends the process on one for the embedding.
            if (name is GgufNames.Embedding or GgufNames.Head || !names.ContainsKey(name))
                problems.Add($"Tensor '{name}' has a branch, which llama.cpp applies to linear weights of the blocks only.");
        }
        if (problems.Count > 0) throw new ExportException(problems);

        var tensors = new List<PendingGgufTensor>();
        var exported = new List<GgufExportedTensor>();
        foreach ((string gguf, string name) in GgufNames.All(source.Config.Layers))
        {
            if (!adapted.BranchNames.Contains(name) || adapted.ReadBranch(name) is not { Rank: > 0 } branch) continue;
            GgmlType stored = type ?? (IsHalf(branch.A) && IsHalf(branch.B) ? GgmlType.F16 : GgmlType.F32);
            IReadOnlyList<int> shape = source.ShapeOf(name);
            Add(gguf + ".lora_a", name, stored, [branch.Rank, shape[1]], (values, sink) => sink.WriteSingles(values.A));
            int heads = RotaryRows.Heads(source.Config, name);
            Add(gguf + ".lora_b", name, stored, [shape[0], branch.Rank], (values, sink) =>
            {
                if (heads == 0) sink.WriteSingles(values.B);
                else GgufRows.WriteInterleaved(values.B, shape[0], heads, sink);
            });
        }
        long bytes = GgufWriter.Write(path, Metadata(), tensors, cancellation);
        return new GgufExport(path, bytes, exported, []);

        void Add(string gguf, string name, GgmlType stored, long[] shape, Action<LowRankBranch, GgufTensorSink> write)
        {
            var tensor = new PendingGgufTensor(gguf, stored, shape, sink =>
            {
                LowRankBranch branch = adapted.ReadBranch(name)!;
                GgufRows.Check(source, name, stored, branch.A);
                GgufRows.Check(source, name, stored, branch.B);
                write(branch, sink);
            });
            tensors.Add(tensor);
            exported.Add(new GgufExportedTensor(gguf, name, stored, tensor.ElementCount, tensor.ByteLength, IsLinear: true, KeepsGrid: false));
        }
    }

    private static KeyValuePair<string, GgufValue>[] Metadata() =>
    [
        new("general.type", GgufValue.Of("adapter")),
        new("general.architecture", GgufValue.Of(GgufHyperparameters.Architecture)),
        new("adapter.type", GgufValue.Of("lora")),
        new("adapter.lora.alpha", GgufValue.Of(0f)),
    ];

    private static bool IsHalf(float[] values) => Array.TrueForAll(values, value => (float)(Half)value == value);
}
