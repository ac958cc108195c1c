using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Sources;

/// <summary>Weights in 8-bit floats: their scales are applied where their meaning is clear, else refused by name.</summary>
public sealed class Float8Tests
{
    private const string Module = "model.layers.0.mlp.down_proj", Weight = Module + ".weight";
    private const int Rows = 256, Columns = 768;

    // E4M3: 0x38 is 1, 0xC0 is -2, 0x7E is 448. E5M2: 0x3C is 1, 0xC0 is -2.
    private static readonly byte[] Codes = [.. Enumerable.Range(0, Rows * Columns).Select(i => (byte)(i % 3 == 0 ? 0x38 : i % 3 == 1 ? 0xC0 : 0x40))];

    [Theory]
    [InlineData("weight_scale", "")]
    [InlineData("weight_scale", "1")]
    [InlineData("weight_scale", "1,1")]
    [InlineData("weight_scale", "256")]
    [InlineData("weight_scale", "256,1")]
    [InlineData("weight_scale_inv", "2,6")]
    [InlineData("weight_scale_inv", "256,1")]
    [InlineData("scale_weight", "1")]
    public void ScalesBesideWeightsAreApplied(string name, string shape)
    {
        using var folder = new TemporaryFolder();
        long[] sizes = shape.Length == 0 ? [] : [.. shape.Split(',').Select(long.Parse)];
        float[] scales = [.. Enumerable.Range(0, (int)sizes.Aggregate(1L, (product, size) => product * size)).Select(i => 0.25f + (0.125f * i))];
        string source = AlteredDemo.Create(folder, "m", tensors => Store(tensors, SafetensorsType.F8E4M3, name, sizes, scales));
        float Scale(int row, int column) => sizes.Length == 0 || scales.Length == 1 ? scales[0] : scales.Length == Rows ? scales[row] : scales[((row / 128) * 6) + (column / 128)];
        using ICheckpoint model = CheckpointOpener.Open(source);
        Assert.Equal("folder of 8-bit floats", model.Kind);
        var values = new float[Rows * Columns];
        model.Read(Weight, values);
        for (int i = 0; i < values.Length; i++) Assert.Equal((i % 3 == 0 ? 1 : i % 3 == 1 ? -2 : 2) * Scale(i / Columns, i % Columns), values[i]);
        Assert.DoesNotContain(model.TensorNames, tensor => tensor.Contains("scale", StringComparison.Ordinal));
    }

    [Fact]
    public void TheLastBlocksAreCut()
    {
        using var folder = new TemporaryFolder();
        // The demo's k_proj has 128 rows; here the blocks are of 96 x 100, so both directions end in a part.
        string source = AlteredDemo.Create(
            folder, "m", tensors => Store(tensors, SafetensorsType.F8E4M3, "weight_scale_inv", [3, 8], [.. Enumerable.Range(1, 24).Select(i => (float)i)]),
            json => json["quantization_config"] = System.Text.Json.Nodes.JsonNode.Parse("""{"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [96, 100]}"""));
        using ICheckpoint model = CheckpointOpener.Open(source);
        var values = new float[Rows * Columns];
        model.Read(Weight, values);
        Assert.Equal(24f * (((Rows * Columns) - 1) % 3 == 0 ? 1 : ((Rows * Columns) - 1) % 3 == 1 ? -2 : 2), values[^1]);
        Assert.Equal(9f, values[96 * Columns]);
    }

    [Fact]
    public void E5M2AndPowersOfTwoAreRead()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors =>
        {
            tensors[Weight] = new StoredTensor(SafetensorsType.F8E5M2, [Rows, Columns], [.. Enumerable.Repeat((byte)0x3C, Rows * Columns)]);
            tensors[Module + ".weight_scale_inv"] = new StoredTensor(SafetensorsType.F8E8M0, [2, 6], [.. Enumerable.Range(124, 12).Select(exponent => (byte)exponent)]);
        });
        using ICheckpoint model = CheckpointOpener.Open(source);
        var values = new float[Rows * Columns];
        model.Read(Weight, values);
        Assert.Equal((0.125f, 256f), (values[0], values[^1]));
    }

    [Theory]
    [InlineData("weight_scale", "768", "is F32 [768] beside a weight of [256, 768]; read are one scale, one a row ([256] or [256, 1]) and blocks of 128 x 128 ([2, 6])")]
    [InlineData("weight_scale", "1,768", "is F32 [1, 768]")]
    [InlineData("weight_scale_inv", "4,12", "is F32 [4, 12]")]
    [InlineData("weight_scale", "256,24", "is F32 [256, 24]")]
    public void ScalesWithoutAClearMeaningAreRefused(string name, string shape, string message)
    {
        using var folder = new TemporaryFolder();
        long[] sizes = [.. shape.Split(',').Select(long.Parse)];
        string source = AlteredDemo.Create(folder, "m", tensors => Store(tensors, SafetensorsType.F8E4M3, name, sizes, new float[sizes.Aggregate(1L, (product, size) => product * size)]));
        Assert.Contains($"'{Module}.{name}': {message}", Assert.Throws<CheckpointFormatException>(() => CheckpointOpener.Open(source)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TwoScalesOrAScaleThatIsNotFiniteAreRefused()
    {
        using var folder = new TemporaryFolder();
        string two = AlteredDemo.Create(folder, "two", tensors =>
        {
            Store(tensors, SafetensorsType.F8E4M3, "weight_scale", [1], [1]);
            tensors[Module + ".weight_scale_inv"] = tensors[Module + ".weight_scale"];
        });
        Assert.Contains("which of the two", Assert.Throws<CheckpointFormatException>(() => CheckpointOpener.Open(two)).Message, StringComparison.Ordinal);
        using ICheckpoint model = CheckpointOpener.Open(AlteredDemo.Create(folder, "nan", tensors => Store(tensors, SafetensorsType.F8E4M3, "weight_scale", [1], [float.NaN])));
        Assert.Contains("'model.layers.0.mlp.down_proj.weight_scale'", Assert.Throws<CheckpointFormatException>(() => model.Read(Weight, new float[Rows * Columns])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void IntegersWithScalesAndNoConfigurationAreRefused()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors => Store(tensors, SafetensorsType.I8, "weight_scale", [Rows, 1], new float[Rows]));
        string message = Assert.Throws<CheckpointFormatException>(() => CheckpointOpener.Open(source)).Message;
        Assert.Contains($"'{Module}.weight_scale': stands beside a weight of type I8", message, StringComparison.Ordinal);
        Assert.Contains("restore quantization_config in config.json", message, StringComparison.Ordinal);
    }

    [Fact]
    public void FloatsWithoutAScaleAreReadAsTheyAreAndNamed()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors =>
        {
            tensors[Weight] = new StoredTensor(SafetensorsType.F8E4M3, [Rows, Columns], Codes);
            tensors[Module + ".input_scale"] = new StoredTensor(SafetensorsType.F32, [1], BitConverter.GetBytes(2f));
        });
        Exception? refused = Record.Exception(() => CheckpointOpener.Open(source));
        Assert.Contains(Module + ".input_scale", refused!.Message, StringComparison.Ordinal);
        string plain = AlteredDemo.Create(folder, "plain", tensors => tensors[Weight] = new StoredTensor(SafetensorsType.F8E4M3, [Rows, Columns], Codes));
        using ICheckpoint model = CheckpointOpener.Open(plain);
        Assert.Equal($"8-bit floats without a scale beside them, read as they are: {Weight}.", Assert.Single(model.Warnings));
    }

    [Fact]
    public async Task AFolderOf8BitFloatsIsASourceOfQuantizeAndConvert()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m", tensors => Store(tensors, SafetensorsType.F8E4M3, "weight_scale", [1], [0.01f])), run = folder.File("run");
        CliResult quantized = await Lrq.Run("quantize", source, "--method", "rtn", "--bits", "8", "--threads", "1", "--out", run);
        Assert.True(quantized.Code == 0, quantized.Error);
        using ICheckpoint before = CheckpointOpener.Open(source), after = CheckpointOpener.Open(run);
        Assert.Equal(before.NativeScaleType, after.NativeScaleType);
        float[] expected = new float[Rows * Columns], actual = new float[Rows * Columns];
        before.Read(Weight, expected);
        after.Read(Weight, actual);
        for (int i = 0; i < expected.Length; i++) Assert.InRange(actual[i], expected[i] - 2e-4f, expected[i] + 2e-4f);
    }

    [Theory]
    [InlineData("fp8-dynamic")]
    [InlineData("fp8-block")]
    public async Task FoldersOfTheLibraryGiveItsValuesAndCanBeLookedAt(string name)
    {
        string source = TestData.Path("golden", "exports-2026", name);
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "exports-2026", name + ".golden.safetensors"));
        using ICheckpoint model = CheckpointOpener.Open(source);
        foreach (string module in new[] { "self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj" }.Select(part => "model.layers.0." + part))
        {
            string tensor = golden.Names.Single(stored => stored.EndsWith(module[(module.IndexOf("0.", StringComparison.Ordinal) + 2)..] + ".dequant_f32", StringComparison.Ordinal));
            float[] expected = new float[golden.Tensors[tensor].ElementCount], actual = new float[expected.Length];
            golden.ReadSingles(tensor, expected);
            model.Read(module + ".weight", actual);
            Assert.Equal(expected, actual);
        }
        foreach (string command in new[] { "inspect", "verify" })
        {
            CliResult result = await Lrq.Run(command, source);
            Assert.True(result.Code == 0, result.Error);
        }
        using var folder = new TemporaryFolder();
        File.WriteAllLines(folder.File("ids.jsonl"), ["[1,5,9,77,100,3]"]);
        CliResult eval = await Lrq.Run("eval", source, "--ids", folder.File("ids.jsonl"), "--threads", "1", "--json");
        Assert.True(eval.Code == 0, eval.Error);
        Assert.Contains("quantized inputs (group_0: float8", eval.Out, StringComparison.Ordinal);
        CliResult dense = await Lrq.Run("convert", source, "--to", "dense", "--weights-only", "--out", folder.File("out"));
        Assert.True(dense.Code == 0, dense.Error);
        Assert.False(AlteredDemo.Config(folder.File("out")).ContainsKey("quantization_config"));
    }

    private static void Store(Dictionary<string, StoredTensor> tensors, SafetensorsType type, string scale, long[] shape, float[] scales)
    {
        tensors[Weight] = new StoredTensor(type, [Rows, Columns], Codes);
        tensors[$"{Module}.{scale}"] = new StoredTensor(SafetensorsType.F32, shape, [.. scales.SelectMany(BitConverter.GetBytes)]);
    }
}
