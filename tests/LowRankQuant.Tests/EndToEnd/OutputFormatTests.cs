using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>What is written is what was computed, in every scheme and format.</summary>
public sealed class OutputFormatTests
{
    public static TheoryData<string, UniformGrid, ScaleType> Schemes => new()
    {
        { "--bits 2", new UniformGrid(2, false, Granularity.Channel), ScaleType.BFloat16 },
        { "--bits 3 --start search", new UniformGrid(3, false, Granularity.Channel), ScaleType.BFloat16 },
        { "--bits 5 --scale-dtype fp32", new UniformGrid(5, false, Granularity.Channel), ScaleType.Float32 },
        { "--bits 6 --symmetric", new UniformGrid(6, true, Granularity.Channel), ScaleType.BFloat16 },
        { "--bits 7 --scale-dtype fp16", new UniformGrid(7, false, Granularity.Channel), ScaleType.Float16 },
        { "--bits 8", new UniformGrid(8, false, Granularity.Channel), ScaleType.BFloat16 },
        { "--bits 4 --group-size 64", new UniformGrid(4, false, Granularity.Group, 64), ScaleType.BFloat16 },
        { "--bits 3 --group-size 32 --symmetric", new UniformGrid(3, true, Granularity.Group, 32), ScaleType.BFloat16 },
        { "--bits 8 --group-size tensor", new UniformGrid(8, false, Granularity.Tensor), ScaleType.BFloat16 },
        { "--bits 8 --group-size tensor --symmetric", new UniformGrid(8, true, Granularity.Tensor), ScaleType.BFloat16 },
    };

    [Theory]
    [MemberData(nameof(Schemes))]
    public async Task EverySchemeIsReadBackAsItWasComputed(string options, UniformGrid grid, ScaleType scaleType)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Lrq.Run(Lrq.Rounding(output, options.Split(' ')));
        Assert.True(result.Code == 0, result.Error);
        GridStart start = options.Contains("search", StringComparison.Ordinal) ? GridStart.Search : GridStart.MinMax;
        using var device = new CpuDevice();
        using var original = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), device);
        using HuggingFaceCheckpoint written = HuggingFaceCheckpoint.Open(output);
        foreach ((string name, int outFeatures, int inFeatures) in Linears(original))
        {
            float[] weight = Values(original.Checkpoint, name), expected = new float[weight.Length];
            var scheme = new Scheme(grid, start, scaleType);
            FittedGrid fit = FittedGrid.Find(weight, outFeatures, inFeatures, scheme, device.HostWorkers);
            var rounded = Assert.IsType<UniformWeight>(fit.Round(weight, default, device.HostWorkers));
            rounded.Dequantize(expected);
            var read = Assert.IsType<UniformWeight>(written.ReadQuantized(name));
            Assert.Equal((grid, scaleType), (read.Grid, read.ScaleType));
            Assert.Equal(rounded.Codes, read.Codes);
            Assert.Equal(rounded.Scales, read.Scales);
            Assert.Equal(rounded.ZeroPoints, read.ZeroPoints);
            Assert.Equal(expected, Values(written, name));
        }
    }

    [Fact]
    public async Task TheDenseFormatHoldsTheSameWeightsInHalfPrecision()
    {
        using var folder = new TemporaryFolder();
        string packed = folder.File("packed"), dense = folder.File("dense");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(packed, "--bits", "3"))).Code);
        CliResult result = await Lrq.Run(Lrq.Rounding(dense, "--bits", "3", "--format", "dense"));
        Assert.True(result.Code == 0, result.Error);
        using HuggingFaceCheckpoint expected = HuggingFaceCheckpoint.Open(packed), actual = HuggingFaceCheckpoint.Open(dense);
        using SafetensorsFolder tensors = SafetensorsFolder.Open(dense);
        Assert.All(tensors.Tensors.Values, tensor => Assert.Equal(SafetensorsType.F16, tensor.Type));
        Assert.Equal("float16", actual.HuggingFaceConfig["torch_dtype"]!.GetValue<string>());
        Assert.Equal("Hugging Face folder", actual.Kind);
        Assert.Equal(expected.TensorNames.Order(StringComparer.Ordinal), actual.TensorNames.Order(StringComparer.Ordinal));
        foreach (string name in expected.TensorNames)
            Assert.Equal(Values(expected, name).Select(value => StorageScale.RoundAny(value, ScaleType.Float16)), Values(actual, name));
    }

    [Fact]
    public async Task AResultCanBeConvertedAndQuantizedAgain()
    {
        using var folder = new TemporaryFolder();
        string packed = folder.File("packed"), plain = folder.File("plain"), again = folder.File("again");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(packed, "--bits", "4", "--scale-dtype", "fp32"))).Code);
        CliResult converted = await Lrq.Run("convert", packed, "--out", plain, "--dtype", "fp32");
        Assert.Equal((0, ""), (converted.Code, converted.Error));
        using HuggingFaceCheckpoint expected = HuggingFaceCheckpoint.Open(packed), actual = HuggingFaceCheckpoint.Open(plain);
        Assert.Equal(expected.TensorNames.Order(StringComparer.Ordinal), actual.TensorNames.Order(StringComparer.Ordinal));
        foreach (string name in expected.TensorNames) Assert.Equal(Values(expected, name), Values(actual, name));
        string[] measured = ["--eval-text", Path.Combine(TestData.Demo, "evaluation.txt"), "--eval-windows", "1"];
        CliResult quantized = await Lrq.Run(["quantize", packed, "--method", "rtn", "--bits", "8", "--out", again, .. measured]);
        Assert.True(quantized.Code == 0, quantized.Error);
        Assert.Equal(0, (await Lrq.Run("inspect", again)).Code);
    }

    [Fact]
    public async Task ShardsAreWrittenAndReadBack()
    {
        using var folder = new TemporaryFolder();
        string whole = folder.File("whole"), shards = folder.File("shards");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(whole))).Code);
        CliResult result = await Lrq.Run(Lrq.Rounding(shards, "--shard-size", "1M"));
        Assert.True(result.Code == 0, result.Error);
        Assert.True(File.Exists(Path.Combine(shards, SafetensorsFolder.IndexFileName)));
        Assert.InRange(Directory.GetFiles(shards, "model-*-of-*.safetensors").Length, 3, 9);
        using HuggingFaceCheckpoint expected = HuggingFaceCheckpoint.Open(whole), actual = HuggingFaceCheckpoint.Open(shards);
        foreach (string name in expected.TensorNames) Assert.Equal(Values(expected, name), Values(actual, name));
    }

    [Theory]
    [InlineData("w4-channel-asym", "--bits 4")]
    [InlineData("w4-channel-sym", "--bits 4 --symmetric")]
    [InlineData("w3-channel-sym", "--bits 3 --symmetric")]
    [InlineData("w2-channel-asym", "--bits 2")]
    [InlineData("w5-channel-asym", "--bits 5")]
    [InlineData("w8-channel-sym", "--bits 8 --symmetric")]
    [InlineData("w4-g32-asym", "--bits 4 --group-size 32")]
    [InlineData("w4-g32-sym", "--bits 4 --group-size 32 --symmetric")]
    [InlineData("w4-g64-asym", "--bits 4 --group-size 64")]
    [InlineData("w2-g32-sym", "--bits 2 --group-size 32 --symmetric")]
    [InlineData("w3-g32-asym", "--bits 3 --group-size 32")]
    [InlineData("w8-g32-asym", "--bits 8 --group-size 32")]
    [InlineData("w4-g32-asym-f16", "--bits 4 --group-size 32 --scale-dtype fp16")]
    [InlineData("w4-g32-asym-f32", "--bits 4 --group-size 32 --scale-dtype fp32")]
    public async Task TheFolderIsLaidOutAsTheLibraryLaysItOut(string name, string options)
    {
        using var folder = new TemporaryFolder();
        string model = folder.File("model"), output = folder.File("out"), golden = TestData.Path("golden", "compressed-tensors", name);
        Directory.CreateDirectory(model);
        string[] files = Directory.GetFiles(TestData.Path("golden", "compressed-tensors", "base"));
        // The reference has no tokenizer; any will do, as no text is read.
        string[] tokenizer = [Path.Combine(TestData.Demo, "tokenizer.json"), Path.Combine(TestData.Demo, "tokenizer_config.json")];
        foreach (string file in files.Concat(tokenizer)) File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        CliResult result = await Lrq.Run(["quantize", model, "--method", "rtn", "--out", output, .. options.Split(' ')]);
        Assert.True(result.Code == 0, result.Error);
        using SafetensorsFolder expected = SafetensorsFolder.Open(golden), actual = SafetensorsFolder.Open(output);
        Assert.Equal(Layout(expected), Layout(actual));
        CompressedTensorsConfig theirs = CompressedTensorsConfig.Load(Path.Combine(golden, "config.json"))!;
        CompressedTensorsConfig ours = CompressedTensorsConfig.Load(Path.Combine(output, "config.json"))!;
        Assert.Equal((theirs.Format, theirs.PacksPadded), (ours.Format, ours.PacksPadded));
        Assert.True(Version.Parse(ours.Version!) >= new Version(0, 18, 0));
        Assert.Null(ours.KvCacheScheme);
        const string packed = ".weight_packed";
        foreach (string tensor in expected.Names.Where(tensor => tensor.EndsWith(packed, StringComparison.Ordinal)).Some())
        {
            string module = tensor[..^packed.Length];
            QuantizationScheme one = theirs.SchemeFor(module)!, other = ours.SchemeFor(module)!;
            Assert.Equal((one.Format, one.Weights!.ToGrid(), one.InputActivations), (other.Format, other.Weights!.ToGrid(), other.InputActivations));
        }
        Assert.Equal((theirs.SchemeFor("lm_head"), (QuantizationScheme?)null), (ours.SchemeFor("lm_head"), null));
    }

    private static string[] Layout(SafetensorsFolder tensors) =>
    [
        .. tensors.Tensors
            .Select(tensor => $"{tensor.Key} {tensor.Value.Type} [{string.Join(", ", tensor.Value.Shape)}]")
            .Order(StringComparer.Ordinal),
    ];

    private static IEnumerable<(string Name, int OutFeatures, int InFeatures)> Linears(CausalModel model)
    {
        for (int block = 0; block < model.Config.Layers; block++)
        {
            foreach ((string name, int outFeatures, int inFeatures) in model.Linears)
                yield return ($"{model.BlockName(block)}.{name}.weight", outFeatures, inFeatures);
        }
    }

    private static float[] Values(ICheckpoint checkpoint, string name)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1, (product, size) => product * size)];
        checkpoint.Read(name, values);
        return values;
    }
}
