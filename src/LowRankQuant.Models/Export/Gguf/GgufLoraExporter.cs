using System.Buffers.Binary;
using System.Runtime.InteropServices;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Families;
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
    /// <param name="type">
    /// F32, F16 or Q8_0; null for F16 where every factor is a half, else F32, so that nothing is rounded. A factor whose rows are no multiple of 32 has no
    /// Q8_0 and is stored as for null. The rows of A of an 8-bit branch are blocks of Q8_0 as they are, for their scales are halves.
    /// </param>
    /// <param name="cancellation">Ends the work; nothing is left behind.</param>
    /// <returns>The tensors written.</returns>
    /// <exception cref="ExportException">The model has no branch, or one that llama.cpp cannot apply.</exception>
    /// <exception cref="CheckpointException">A factor does not fit the type.</exception>
    /// <exception cref="IOException">The disk is too small or the path cannot be written; nothing is left behind.</exception>
    public static GgufExport Write(ICheckpoint source, string path, GgmlType? type = null, CancellationToken cancellation = default)
    {
        if (type is not (null or GgmlType.F32 or GgmlType.F16 or GgmlType.Q8_0))
            throw new ExportException($"The factors of an adapter are F32, F16 or Q8_0; {type} was asked for.");
        if (source is not AdaptedCheckpoint adapted) throw new ExportException($"{source.Location} has no low-rank branches; there is no adapter to write.");
        List<string> problems = [.. GgufExporter.Problems(adapted.Base)];
        if (problems.Count > 0) throw new ExportException(problems);
        GgufForm form = source.Architecture.Gguf!;
        GgufStored[] linears = [.. form.Place(source.Layout, out _).Where(stored => stored.TakesBranches)];
        HashSet<string> names = [.. linears.Select(stored => stored.Parts[0].Name)];
        foreach (string name in adapted.BranchNames)
        {
            // llama.cpp refuses an adapter on a tied head and ends the process on one for the embedding.
            if (!names.Contains(name))
                problems.Add($"Tensor '{name}' has a branch, which llama.cpp applies to linear weights of the blocks only, and to none that lies in one tensor with others, in parts, turned, or with a multiplier.");
        }
        if (problems.Count > 0) throw new ExportException(problems);

        var tensors = new List<PendingGgufTensor>();
        var exported = new List<GgufExportedTensor>();
        foreach (GgufStored stored in linears)
        {
            (string gguf, GgufPart part) = (stored.Name, stored.Parts[0]);
            string name = part.Name;
            if (!adapted.BranchNames.Contains(name) || adapted.ReadBranch(name) is not { Rank: > 0 } branch) continue;
            GgmlType exact = IsHalf(branch.A) && IsHalf(branch.B) ? GgmlType.F16 : GgmlType.F32;
            GgmlType Stored(int columns) => type is null || columns % type.Value.Block().Elements != 0 ? exact : type.Value;
            IReadOnlyList<int> shape = source.ShapeOf(name);
            GgmlType rows = Stored(shape[1]);
            Add(gguf + ".lora_a", name, rows, [branch.Rank, shape[1]], (values, sink) =>
            {
                if (rows == GgmlType.Q8_0 && part.ColumnOrder is null && CodesOf(values) is { } codes) WriteCodes(codes, shape[1], sink);
                else GgufRows.WriteOrdered(values.A, null, part.ColumnOrder, shape[1], sink);
            });
            Add(gguf + ".lora_b", name, Stored(branch.Rank), [shape[0], branch.Rank], (values, sink) => GgufRows.WriteOrdered(values.B, part.Rows, null, branch.Rank, sink));
        }
        long bytes = GgufWriter.Write(path, Metadata(form), tensors, cancellation);
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

    private static KeyValuePair<string, GgufValue>[] Metadata(GgufForm form) =>
    [
        new("general.type", GgufValue.Of("adapter")),
        new("general.architecture", GgufValue.Of(form.Name)),
        new("adapter.type", GgufValue.Of("lora")),
        new("adapter.lora.alpha", GgufValue.Of(0f)),
    ];

    private static FactorCodes? CodesOf(LowRankBranch branch) =>
        branch.BitsPerFactor == 8 && FactorCodes.OfRows(branch.A, branch.Rank) is { ScaleType: ScaleType.Float16 } codes ? codes : null;

    // A block of Q8_0 is a half and 32 codes: the row's scale serves every block of it.
    private static void WriteCodes(FactorCodes codes, int columns, GgufTensorSink sink)
    {
        const int Elements = 32;
        Span<byte> block = stackalloc byte[sizeof(ushort) + Elements];
        for (int at = 0; at < codes.Codes.Length; at += Elements)
        {
            BinaryPrimitives.WriteHalfLittleEndian(block, (Half)codes.Scales[at / columns]);
            MemoryMarshal.AsBytes(codes.Codes.AsSpan(at, Elements)).CopyTo(block[sizeof(ushort)..]);
            sink.Write(block);
        }
    }

    private static bool IsHalf(float[] values) => Array.TrueForAll(values, value => (float)(Half)value == value);
}
