using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>
/// The tensors and the configuration of compressed-tensors checkpoints: <c>pack-quantized</c> for weights alone, <c>int-quantized</c> for weights
/// whose module also quantizes its inputs. Codes, scales and zero points are stored as they are, nothing is rounded. A low-rank branch has no place
/// in this format and is not written; store it as an adapter. Layouts: see <see cref="CompressedTensorsReader"/>.
/// </summary>
public static class CompressedTensorsWriter
{
    /// <summary>The first release whose packing of 3, 5, 6 and 7 bits is the dense stream written here.</summary>
    public const string Version = "0.18.0";

    /// <summary>Tensors of a packed weight that is in memory.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="weight">The weight.</param>
    public static List<PendingTensor> PackQuantized(string module, UniformWeight weight) =>
        PackQuantized(module, weight.OutFeatures, weight.InFeatures, weight.Grid, weight.ScaleType, () => weight);

    /// <summary>Tensors of a packed weight that is loaded when its turn comes.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">Integer grid.</param>
    /// <param name="scaleType">Stored type of the scales; config.json's <c>dtype</c> must be the same, or loaders round them again.</param>
    /// <param name="load">Gives the weight; called once per tensor (up to three times).</param>
    /// <exception cref="ArgumentException">The grid does not divide the rows.</exception>
    public static List<PendingTensor> PackQuantized(
        string module, int outFeatures, int inFeatures, UniformGrid grid, ScaleType scaleType, Func<UniformWeight> load)
    {
        CheckGrid(grid, inFeatures);
        UniformWeight Load() => Loaded(module, load(), outFeatures, inFeatures, grid, scaleType);
        int width = DenseBitPacker.WordsPerRow(inFeatures, grid.Bits), groups = grid.GroupsPerRow(inFeatures);
        List<PendingTensor> tensors =
        [
            new(module + ".weight_packed", SafetensorsType.I32, [outFeatures, width], sink => WriteCodes(sink, Load(), width)),
            Scales(module, outFeatures, groups, grid, scaleType, Load),
            new(module + ".weight_shape", SafetensorsType.I64, [2], sink => sink.Write<long>([outFeatures, inFeatures])),
        ];
        if (grid.Symmetric) return tensors;
        int height = DenseBitPacker.WordsPerRow(outFeatures, grid.Bits);
        tensors.Add(grid.Granularity == Granularity.Tensor
            ? SignedZeroPoints(module, [1], grid, Load)
            : new(module + ".weight_zero_point", SafetensorsType.I32, [height, groups], sink =>
            {
                uint[] words = new uint[height * groups];
                DenseBitPacker.PackColumns(Load().ZeroPoints, outFeatures, groups, grid.Bits, words);
                sink.Write(MemoryMarshal.AsBytes<uint>(words));
            }));
        return tensors;
    }

    /// <summary>Tensors of an <c>int-quantized</c> weight (one signed code a byte) that is loaded when its turn comes.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">Integer grid.</param>
    /// <param name="scaleType">Stored type of the scales.</param>
    /// <param name="load">Gives the weight; called once per tensor (up to three times).</param>
    /// <exception cref="ArgumentException">The grid does not divide the rows.</exception>
    public static List<PendingTensor> IntQuantized(
        string module, int outFeatures, int inFeatures, UniformGrid grid, ScaleType scaleType, Func<UniformWeight> load)
    {
        CheckGrid(grid, inFeatures);
        UniformWeight Load() => Loaded(module, load(), outFeatures, inFeatures, grid, scaleType);
        int groups = grid.GroupsPerRow(inFeatures);
        List<PendingTensor> tensors =
        [
            new(module + ".weight", SafetensorsType.I8, [outFeatures, inFeatures], sink => WriteSigned(sink, Load().Codes, grid)),
            Scales(module, outFeatures, groups, grid, scaleType, Load),
        ];
        if (!grid.Symmetric) tensors.Add(SignedZeroPoints(module, ScaleShape(outFeatures, groups, grid), grid, Load));
        return tensors;
    }

    /// <summary>
    /// The <c>quantization_config</c> of a model. One scheme for all modules targets the class <c>Linear</c>, so every dense linear must be in
    /// <paramref name="ignore"/>, and embeddings are named beside it; several schemes become several groups that name their modules in full.
    /// </summary>
    /// <param name="modules">Every quantized module, in model order.</param>
    /// <param name="ignore">Dense linears, such as <c>lm_head</c>.</param>
    /// <param name="version">Release to claim; decides how readers unpack 3, 5, 6 and 7 bits, so not below 0.18.</param>
    /// <param name="kvCache">Key and value cache quantization, or null.</param>
    /// <exception cref="ArgumentException">Neither modules nor a cache, or a module given twice.</exception>
    public static JsonObject BuildConfig(
        IReadOnlyList<QuantizedModule> modules, IReadOnlyList<string> ignore, string version = Version, QuantizationArgs? kvCache = null)
    {
        if (modules.Count == 0 && kvCache is null) throw new ArgumentException("A quantization_config needs at least one quantized module, or a cache.", nameof(modules));
        List<(QuantizedModule First, List<string> Names)> groups = [];
        List<string> tables = [.. modules.Where(module => module.IsTable).Select(module => module.Name)];
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (QuantizedModule module in modules)
        {
            if (!seen.Add(module.Name)) throw new ArgumentException($"Module '{module.Name}' is given twice.", nameof(modules));
            int index = groups.FindIndex(group => group.First.SharesSchemeWith(module));
            if (index >= 0) groups[index].Names.Add(module.Name);
            else groups.Add((module, [module.Name]));
        }
        JsonObject configGroups = [];
        HashSet<string> formats = [];
        for (int i = 0; i < groups.Count; i++)
        {
            (QuantizedModule first, List<string> names) = groups[i];
            formats.Add(first.Format);
            configGroups[$"group_{i}"] = new JsonObject
            {
                ["format"] = first.Format,
                ["input_activations"] = first.InputActivations?.ToJson(),
                ["output_activations"] = first.OutputActivations?.ToJson(),
                ["targets"] = StringArray(groups.Count == 1 ? ["Linear", .. tables] : names),
                ["weights"] = QuantizationArgs.FromGrid(first.Grid).ToJson(),
            };
        }
        return new JsonObject
        {
            ["config_groups"] = configGroups,
            ["format"] = formats.Count == 1 ? groups[0].First.Format : "mixed-precision",
            ["global_compression_ratio"] = null,
            ["ignore"] = StringArray(ignore),
            ["kv_cache_scheme"] = kvCache?.ToJson(),
            ["quant_method"] = CompressedTensorsConfig.QuantMethod,
            ["quantization_status"] = "compressed",
            ["sparsity_config"] = new JsonObject(),
            ["transform_config"] = new JsonObject(),
            ["version"] = version,
        };
    }

    private static PendingTensor Scales(string module, int rows, int groups, UniformGrid grid, ScaleType scaleType, Func<UniformWeight> load)
    {
        return new PendingTensor(module + ".weight_scale", scaleType.ToSafetensors(), ScaleShape(rows, groups, grid), sink => sink.WriteSingles(load().Scales));
    }

    private static PendingTensor SignedZeroPoints(string module, long[] shape, UniformGrid grid, Func<UniformWeight> load) =>
        new(module + ".weight_zero_point", SafetensorsType.I8, shape, sink => WriteSigned(sink, load().ZeroPoints, grid));

    private static long[] ScaleShape(int rows, int groups, UniformGrid grid) => grid.Granularity == Granularity.Tensor ? [1] : [rows, groups];

    // Rows are independent streams, so a few hundred KiB of words are enough however large the matrix is.
    private static void WriteCodes(TensorSink sink, UniformWeight weight, int width)
    {
        int rowsPerPart = Math.Clamp((1 << 16) / width, 1, weight.OutFeatures);
        uint[] words = new uint[rowsPerPart * width];
        for (int row = 0; row < weight.OutFeatures; row += rowsPerPart)
        {
            int rows = Math.Min(rowsPerPart, weight.OutFeatures - row);
            Span<uint> part = words.AsSpan(0, rows * width);
            ReadOnlySpan<byte> codes = weight.Codes.AsSpan(row * weight.InFeatures, rows * weight.InFeatures);
            DenseBitPacker.Pack(codes, rows, weight.InFeatures, weight.Grid.Bits, part);
            sink.Write(MemoryMarshal.AsBytes(part));
        }
    }

    private static void WriteSigned(TensorSink sink, ReadOnlySpan<byte> unsigned, UniformGrid grid)
    {
        byte[] buffer = new byte[Math.Min(unsigned.Length, 1 << 18)];
        for (int done = 0; done < unsigned.Length; done += buffer.Length)
        {
            ReadOnlySpan<byte> part = unsigned.Slice(done, Math.Min(buffer.Length, unsigned.Length - done));
            for (int i = 0; i < part.Length; i++) buffer[i] = (byte)(part[i] - grid.SymmetricZero);
            sink.Write(buffer.AsSpan(0, part.Length));
        }
    }

    private static void CheckGrid(UniformGrid grid, int inFeatures)
    {
        if (!grid.Divides(inFeatures))
            throw new ArgumentException($"A group of {grid.GroupSize} does not divide a row of {inFeatures}.", nameof(grid));
    }

    private static UniformWeight Loaded(string module, UniformWeight weight, int outFeatures, int inFeatures, UniformGrid grid,
        ScaleType scaleType) =>
        weight.OutFeatures == outFeatures && weight.InFeatures == inFeatures && weight.Grid == grid && weight.ScaleType == scaleType
            ? weight
            : throw new InvalidOperationException(
                $"Module '{module}' was declared as {grid}, [{outFeatures}, {inFeatures}], {scaleType} scales; it is "
                + $"{weight.Grid}, [{weight.OutFeatures}, {weight.InFeatures}], {weight.ScaleType}.");

    private static JsonArray StringArray(IReadOnlyList<string> strings)
    {
        JsonArray array = [];
        foreach (string text in strings) array.Add((JsonNode)text);
        return array;
    }
}
