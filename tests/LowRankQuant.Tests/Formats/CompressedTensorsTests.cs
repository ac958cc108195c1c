#pragma warning disable xUnit1051 // These writes take milliseconds; a cancelled run need not interrupt them.
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

public class CompressedTensorsTests
{
    private static readonly string[] Packed =
    [
        "w2-g32-sym", "w2-g32-asym", "w2-channel-asym", "w3-channel-sym", "w3-g32-asym", "w4-channel-sym", "w4-channel-asym",
        "w4-g32-sym", "w4-g32-asym", "w4-g64-asym",
        "w5-channel-asym", "w8-channel-sym", "w8-g32-asym", "w4-g32-asym-f16", "w4-g32-asym-f32",
        "w4-g32-sym-actorder-weight", "w4-g32-sym-kv8", "w4-g32-sym-kv8-head-asym",
        "w4a8-channel-token-pack", "legacy-w3-g32-asym-padded",
    ];

    private static readonly string[] Integers =
    [
        "w8-naive", "w8a8-channel-token", "w8a8-channel-token-asym", "w8a8-channel-static-sym", "w8a8-channel-static-asym",
        "w8a8-tensor-static-sym", "w4a8-g32-token", "mixed",
    ];

    public static TheoryData<string> Cases => [.. Packed, .. Integers];

    // Padded packing is read only.
    public static TheoryData<string> CurrentCases => [.. Packed.Concat(Integers).Where(c => !c.StartsWith("legacy", StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void AFolderOfTheLibraryGivesItsCodesScalesAndValues(string name)
    {
        (SafetensorsFolder folder, CompressedTensorsConfig config) = Open(name);
        using SafetensorsFolder model = folder;
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", name + ".golden.safetensors"));
        foreach (string module in new[] { "self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj" }.Select(m => "model.layers.0." + m))
        {
            UniformWeight weight = CompressedTensorsReader.Read(model, module, config.SchemeFor(module)!, config);
            int middle = weight.Grid.SymmetricZero;
            sbyte[] codes = ReadSigned(golden, module + ".codes");
            Assert.Equal(codes, weight.Codes.Select(u => (sbyte)(u - middle)));
            float[] scales = new float[weight.Scales.Length];
            golden.ReadSingles(module + ".scale", scales);
            Assert.Equal(scales, weight.Scales);
            Assert.Equal(golden.Contains(module + ".zero_point"), weight.ZeroPoints is not null);
            if (weight.ZeroPoints is not null)
                Assert.Equal(ReadSigned(golden, module + ".zero_point"), weight.ZeroPoints.Select(u => (sbyte)(u - middle)));
            float[] dequantized = new float[codes.Length], expected = new float[codes.Length];
            weight.Dequantize(dequantized);
            golden.ReadSingles(module + ".dequant", expected);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], StorageScale.RoundAny(dequantized[i], weight.ScaleType));
        }
        Assert.Null(config.SchemeFor("lm_head"));
    }

    [Theory]
    [MemberData(nameof(CurrentCases))]
    public void WritingTheCodesGivesTheTensorsOfTheLibrary(string name)
    {
        (SafetensorsFolder folder, CompressedTensorsConfig config) = Open(name);
        using SafetensorsFolder model = folder;
        List<PendingTensor> tensors = [];
        foreach (string module in Modules(model))
        {
            QuantizationScheme scheme = config.SchemeFor(module)!;
            UniformWeight weight = CompressedTensorsReader.Read(model, module, scheme, config);
            tensors.AddRange(scheme.Format == "pack-quantized"
                ? CompressedTensorsWriter.PackQuantized(module, weight)
                : CompressedTensorsWriter.IntQuantized(module, weight.OutFeatures, weight.InFeatures, weight.Grid, weight.ScaleType, () => weight));
        }
        HashSet<string> written = [.. tensors.Select(t => t.Name)];
        Assert.True(written.Count >= 14 * 2);
        tensors.AddRange(model.Names.Where(n => !written.Contains(n)).Select(n => PendingTensor.Copy(model, n)));
        using TemporaryFolder temporary = new();
        SafetensorsFolderWriter.Write(temporary.Path, PendingTensor.ReferenceOrder(tensors));
        Assert.Equal(File.ReadAllBytes(model.FileOf("lm_head.weight")), File.ReadAllBytes(temporary.File("model.safetensors")));
        string[] rest = [.. model.Names.Where(n => n.Contains("_proj", StringComparison.Ordinal) && !written.Contains(n))];
        Assert.All(rest,
            n => Assert.Contains(".input_", n, StringComparison.Ordinal)); // static activation scales are the only other tensors of a linear
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void OurConfigurationMeansTheSame(string name)
    {
        (SafetensorsFolder folder, CompressedTensorsConfig golden) = Open(name);
        using SafetensorsFolder model = folder;
        string[] modules = [.. Modules(model)];
        JsonObject json = CompressedTensorsWriter.BuildConfig(
            [.. modules.Select(m => new QuantizedModule(m, golden.SchemeFor(m)!.Weights!.ToGrid()!,
                golden.SchemeFor(m)!.InputActivations, golden.SchemeFor(m)!.OutputActivations, golden.SchemeFor(m)!.Format))],
            ["lm_head"], golden.Version!, golden.KvCacheScheme);
        CompressedTensorsConfig ours = Parse(json.ToJsonString());
        foreach (string module in modules)
        {
            QuantizationScheme a = golden.SchemeFor(module)!, b = ours.SchemeFor(module)!;
            Assert.Equal(a.Weights! with { ActOrder = null }, b.Weights);
            Assert.Equal(a.InputActivations, b.InputActivations);
            Assert.Equal(a.Format, b.Format);
        }
        Assert.Null(ours.SchemeFor("lm_head"));
        Assert.Equal(golden.Ignore, ours.Ignore);
        Assert.Equal(golden.Version, ours.Version);
        Assert.Equal(golden.Format, ours.Format);
        Assert.Equal(golden.KvCacheScheme, ours.KvCacheScheme);
        if (name != "w4-g32-asym") return;
        // The same keys and, but for what newer releases added and the observer's name, the same values.
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "compressed-tensors", name, "config.json")));
        JsonObject expected = JsonObject.Create(document.RootElement.GetProperty("quantization_config").Clone())!;
        JsonObject weights = expected["config_groups"]!["group_0"]!["weights"]!.AsObject();
        weights.Remove("scale_dtype");
        weights.Remove("zp_dtype");
        weights["observer"] = "minmax";
        Assert.True(JsonNode.DeepEquals(expected, json), json.ToJsonString());
    }

    [Fact]
    public void ActivationAndCacheQuantizersAreTypedInformation()
    {
        Assert.Null(Config("w4-g32-asym").Schemes[0].InputActivations);
        Assert.Null(Config("w4-g32-asym").KvCacheScheme);
        Assert.Equal(QuantizationArgs.PerTokenInt8(), Config("w8a8-channel-token").Schemes[0].InputActivations);
        Assert.Equal("int8 asymmetric token dynamic", Config("w8a8-channel-token-asym").Schemes[0].InputActivations!.Describe());
        Assert.Equal(new QuantizationArgs(8, "int", true, QuantizationStrategy.Tensor), Config("w8a8-tensor-static-sym").Schemes[0].InputActivations);
        Assert.Equal(new QuantizationArgs(8, "int", false, QuantizationStrategy.AttnHead), Config("w4-g32-sym-kv8-head-asym").KvCacheScheme);
        CompressedTensorsConfig mixed = Config("mixed");
        Assert.Equal("int-quantized", mixed.SchemeFor("model.layers.1.self_attn.o_proj")!.Format);
        Assert.Equal("pack-quantized", mixed.SchemeFor("model.layers.1.mlp.up_proj")!.Format);
        Assert.Null(mixed.SchemeFor("model.layers.1.mlp"));
        Assert.Null(CompressedTensorsConfig.Load(TestData.Path("golden", "compressed-tensors", "base", "config.json")));
    }

    [Theory]
    [InlineData("legacy-w4-g32-sym-gidx")]
    [InlineData("legacy-w4-g32-asym-gidx")]
    public void ActivationOrderIsReadWithItsOrderAndRefusedWithoutIt(string name)
    {
        (SafetensorsFolder folder, CompressedTensorsConfig config) = Open(name);
        using SafetensorsFolder model = folder;
        string module = "model.layers.0.self_attn.q_proj";
        CheckpointFormatException error = Assert.Throws<CheckpointFormatException>(() => CompressedTensorsReader.Read(model, module,
            config.SchemeFor(module)!, config));
        Assert.Equal(("g-idx", module + ".weight_g_idx"), (error.Kind, error.Item));
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", name + ".golden.safetensors"));
        foreach (string ordered in GoldenWeights.Modules)
        {
            OrderedWeight read = CompressedTensorsReader.ReadOrdered(model, ordered, config.SchemeFor(ordered)!, config);
            Assert.NotNull(read.Columns);
            Assert.Equal(ReadSigned(golden, ordered + ".codes"), read.CodesInModelOrder().Select(u => (sbyte)(u - read.Weight.Grid.SymmetricZero)));
            Assert.Equal(GoldenWeights.Integers(golden, ordered + ".g_idx"), read.GroupIndex());
            float[] values = new float[read.Weight.Codes.Length];
            read.Dequantize(values);
            Assert.Equal(GoldenWeights.Floats(golden, ordered + ".dequant"), values.Select(value => StorageScale.RoundAny(value, read.Weight.ScaleType)));
        }
    }

    [Fact]
    public void DamagedWeightsAreRefusedByTensor()
    {
        UniformGrid grid = new(4, false, Granularity.Group, 16);
        UniformWeight weight = new(8, 32, grid, new byte[256], [.. Enumerable.Repeat(0.5f, 16)], new byte[16], ScaleType.Float16);
        string Kind(Func<PendingTensor, PendingTensor?> change)
        {
            using TemporaryFolder temporary = new();
            List<PendingTensor> tensors = [];
            foreach (PendingTensor tensor in CompressedTensorsWriter.PackQuantized("m", weight)) if (change(tensor) is { } kept) tensors.Add(kept);
            SafetensorsFolderWriter.Write(temporary.Path, tensors);
            using SafetensorsFolder folder = SafetensorsFolder.Open(temporary.Path);
            CompressedTensorsConfig config = Parse(CompressedTensorsWriter.BuildConfig([new QuantizedModule("m", grid)], []).ToJsonString());
            Exception? error = Record.Exception(() => CompressedTensorsReader.Read(folder, "m", config.SchemeFor("m")!, config));
            return error is null ? "read" : Assert.IsType<CheckpointFormatException>(error).Kind;
        }

        PendingTensor Replace(PendingTensor tensor, string name, Func<PendingTensor, PendingTensor> change) =>
            tensor.Name == "m." + name ? change(tensor) : tensor;
        Assert.Equal("read", Kind(t => t));
        foreach (string name in new[] { "weight_packed", "weight_scale", "weight_zero_point", "weight_shape" })
            Assert.Equal("missing-tensor", Kind(t => t.Name == "m." + name ? null : t));
        foreach (float bad in new[] { 0f, float.NaN, float.PositiveInfinity })
            Assert.Equal("scale",
                Kind(t => Replace(t, "weight_scale", s => s with { Write = sink => sink.WriteSingles([.. Enumerable.Repeat(1f, 15), bad]) })));
        Assert.Equal("read",
            Kind(t => Replace(t, "weight_scale", s => s with { Write = sink => sink.WriteSingles([.. Enumerable.Repeat(-1f, 16)]) })));
        Assert.Equal("size-mismatch",
            Kind(t => Replace(t, "weight_scale", s => s with { Shape = [8, 1], Write = sink => sink.WriteSingles(new float[8]) })));
        Assert.Equal("dtype",
            Kind(t => Replace(t, "weight_scale", s => s with { Type = SafetensorsType.I16, Write = sink => sink.Write(new byte[32]) })));
        foreach (long[] shape in new long[][] { [8, 33], [9, 32], [0, 32], [-8, 32], [8, 1L << 40], [1L << 31, 1L << 31] })
            Assert.Equal(shape[1] == 33 ? "group-size" : "size-mismatch",
                Kind(t => Replace(t, "weight_shape", s => s with { Write = sink => sink.Write<long>(shape) })));
        Assert.Equal("read",
            Kind(t => Replace(t, "weight_shape", s => s with { Type = SafetensorsType.I32, Write = sink => sink.Write<int>([8, 32]) })));
        Assert.Equal("size-mismatch",
            Kind(t => Replace(t, "weight_zero_point", s => s with { Shape = [2, 2], Write = sink => sink.Write(new byte[16]) })));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void EveryGridSurvivesAFolder(int bits)
    {
        Random random = new(bits);
        foreach (Granularity granularity in Enum.GetValues<Granularity>())
        {
            foreach (bool symmetric in new[] { true, false })
            {
                UniformGrid grid = new(bits, symmetric, granularity, granularity == Granularity.Group ? 20 : 0);
                const int Rows = 13, Columns = 60;
                int scaleCount = (int)grid.ScaleCount(Rows, Columns);
                byte[] Random(int count) => [.. Enumerable.Range(0, count).Select(_ => (byte)random.Next(grid.MaxCode + 1))];
                float[] scales = [.. Enumerable.Range(0, scaleCount)
                    .Select(_ => StorageScale.RoundAny((float)(random.NextDouble() - 0.5), ScaleType.BFloat16))];
                UniformWeight weight = new(Rows, Columns, grid, Random(Rows * Columns), scales, symmetric ? null : Random(scaleCount),
                    ScaleType.BFloat16);
                foreach (bool packed in new[] { true, false })
                {
                    using TemporaryFolder temporary = new();
                    SafetensorsFolderWriter.Write(temporary.Path, packed
                        ? CompressedTensorsWriter.PackQuantized("m", weight)
                        : CompressedTensorsWriter.IntQuantized("m", Rows, Columns, grid, ScaleType.BFloat16, () => weight));
                    QuantizedModule module = new("m", grid, packed ? null : QuantizationArgs.PerTokenInt8());
                    CompressedTensorsConfig config = Parse(CompressedTensorsWriter.BuildConfig([module], []).ToJsonString());
                    using SafetensorsFolder folder = SafetensorsFolder.Open(temporary.Path);
                    UniformWeight back = CompressedTensorsReader.Read(folder, "m", config.SchemeFor("m")!, config);
                    Assert.Equal(weight.Codes, back.Codes);
                    Assert.Equal(weight.Scales, back.Scales);
                    Assert.Equal(weight.ZeroPoints, back.ZeroPoints);
                    Assert.Equal(grid, back.Grid);
                }
            }
        }
    }

    private static CompressedTensorsConfig Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return CompressedTensorsConfig.Parse(document.RootElement, "config.json");
    }

    private static CompressedTensorsConfig Config(string name) =>
        CompressedTensorsConfig.Load(TestData.Path("golden", "compressed-tensors", name, "config.json"))!;

    private static (SafetensorsFolder Folder, CompressedTensorsConfig Config) Open(string name) =>
        (SafetensorsFolder.Open(TestData.Path("golden", "compressed-tensors", name)), Config(name));

    private static IEnumerable<string> Modules(SafetensorsFolder model) =>
        model.Names.Where(n => n.EndsWith(".weight_scale", StringComparison.Ordinal))
            .Select(n => n[..^".weight_scale".Length]).Order(StringComparer.Ordinal);

    private static sbyte[] ReadSigned(SafetensorsFile file, string name)
    {
        sbyte[] values = new sbyte[file.Tensors[name].ElementCount];
        file.Read(name, values.AsSpan());
        return values;
    }
}
