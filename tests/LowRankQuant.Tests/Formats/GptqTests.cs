#pragma warning disable xUnit1051 // These writes take milliseconds; a cancelled run need not interrupt them.
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

public class GptqTests
{
    public static TheoryData<string> Folders =>
    [
        "w4-g32-sym-v1", "w4-g32-sym-v2", "w4-g32-asym-v1", "w4-g32-asym-desc_act-v2", "w4-row-sym-desc_act-v1", "w2-g32-asym-v2", "w3-g64-asym-v1", "w8-row-sym-v1",
    ];

    public static TheoryData<string> Units =>
        [.. new[] { 2, 3, 4, 8 }.SelectMany(bits => new[] { "g32", "row" }.SelectMany(group => new[] { "sym", "asym" }.SelectMany(kind =>
            new[] { "", "-act" }.Select(order => $"w{bits}-{group}-{kind}{order}"))))];

    [Theory]
    [MemberData(nameof(Folders))]
    public void AFolderOfTheLibraryGivesItsCodesScalesAndValues(string name)
    {
        using SafetensorsFolder model = SafetensorsFolder.Open(TestData.Path("golden", "gptq", name));
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "gptq", name + ".golden.safetensors"));
        GptqLayout layout = GptqConfig.Parse(GoldenWeights.Config("gptq", name), name).Common;
        foreach (string module in GoldenWeights.Modules)
        {
            OrderedWeight read = GptqReader.Read(model, module, layout);
            Assert.Equal(name.Contains("asym-desc_act", StringComparison.Ordinal), read.Columns is not null);
            Assert.Equal(GoldenWeights.Bytes(golden, module + ".codes"), read.CodesInModelOrder());
            Assert.Equal(GoldenWeights.Floats(golden, module + ".scales"), read.Weight.Scales);
            Assert.Equal(GoldenWeights.Integers(golden, module + ".g_idx"), read.GroupIndex());
            byte[] zeros = GoldenWeights.Bytes(golden, module + ".zeros");
            Assert.Equal(zeros, read.Weight.ZeroPoints ?? [.. zeros.Select(_ => (byte)layout.Grid.SymmetricZero)]);
            AssertValues(GoldenWeights.Floats(golden, module + ".dequant"), read);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void WritingTheCodesGivesTheFileOfTheLibrary(string name)
    {
        using SafetensorsFolder model = SafetensorsFolder.Open(TestData.Path("golden", "gptq", name));
        GptqLayout layout = GptqConfig.Parse(GoldenWeights.Config("gptq", name), name).Common;
        List<PendingTensor> tensors = [];
        foreach (string module in GoldenWeights.Quantized(model, GptqReader.Codes))
        {
            OrderedWeight read = GptqReader.Read(model, module, layout);
            tensors.AddRange(GptqWriter.Tensors(PendingWeight.Of(module, read.Weight), layout.ZeroPoints, columns: read.Columns));
        }
        Assert.Equal(14 * 4, tensors.Count);
        GoldenWeights.AssertSameFile(model, tensors);
    }

    [Theory]
    [MemberData(nameof(Units))]
    public void UnitsArePackedAsTheLibraryPacksThem(string name)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "gptq", "units.safetensors"));
        int bits = name[1] - '0';
        bool symmetric = !name.Contains("asym", StringComparison.Ordinal);
        byte[] codes = GoldenWeights.Bytes(golden, name + ".codes"), zeros = GoldenWeights.Bytes(golden, name + ".zeros");
        int[] groups = GoldenWeights.Integers(golden, name + ".g_idx");
        UniformGrid grid = name.Contains("g32", StringComparison.Ordinal) ? new(bits, symmetric, Granularity.Group, 32) : new(bits, symmetric, Granularity.Channel);
        OrderedWeight weight = OrderedWeight.FromGroups(codes, groups, grid, sorted => new UniformWeight(
            32, 96, grid, sorted, GoldenWeights.Floats(golden, name + ".scales_plain"), symmetric ? null : zeros, ScaleType.Float16))!;
        AssertValues(GoldenWeights.Floats(golden, name + ".dequant"), weight);
        foreach ((GptqZeroPoints form, string version) in new[] { (GptqZeroPoints.MinusOne, "v1"), (GptqZeroPoints.AsTheyAre, "v2") })
        {
            if (form == GptqZeroPoints.MinusOne && zeros.Contains((byte)0)) continue; // v1 cannot say it; see the underflow test
            foreach (PendingTensor tensor in GptqWriter.Tensors(PendingWeight.Of(name, weight.Weight), form, columns: weight.Columns))
            {
                string stored = tensor.Name.EndsWith(".qzeros", StringComparison.Ordinal) ? $"{tensor.Name}_{version}" : tensor.Name;
                Assert.Equal(golden.GetBytes(stored, 0, (int)tensor.ByteLength).ToArray(), GoldenWeights.Written(tensor));
            }
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(8)]
    public void AZeroPointOfZeroIsReadAsItsWriterReadsIt(int bits)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "gptq", "v1-zero-underflow.safetensors"));
        byte[] zeros = GoldenWeights.Bytes(golden, $"w{bits}.zeros");
        uint[] Words(string name) => [.. GoldenWeights.Integers(golden, $"w{bits}.{name}").Select(word => (uint)word)];
        Assert.Equal(Words("qzeros_v2"), GptqZeroPointPacking.Pack(zeros, 1, 32, bits, GptqZeroPoints.AsTheyAre));
        Assert.Equal(zeros, GptqZeroPointPacking.Unpack(Words("qzeros_v2"), 1, 32, bits, GptqZeroPoints.AsTheyAre));
        Assert.Throws<ArgumentException>(() => GptqZeroPointPacking.Pack(zeros, 1, 32, bits, GptqZeroPoints.MinusOne));
        Assert.Null(GptqZeroPointPacking.Unpack(Words("qzeros_v1_gptqmodel"), 1, 32, bits, GptqZeroPoints.MinusOne));
        Assert.Null(GptqZeroPointPacking.Unpack(Words("qzeros_v1_autogptq"), 1, 32, bits, GptqZeroPoints.MinusOne));
        Assert.Equal(Words("qzeros_v1_gptqmodel"), GptqZeroPointPacking.Pack(zeros, 1, 32, bits, GptqZeroPoints.MinusOneByGptqModel));
        Assert.Equal(zeros, GptqZeroPointPacking.Unpack(Words("qzeros_v1_gptqmodel"), 1, 32, bits, GptqZeroPoints.MinusOneByGptqModel));
    }

    [Theory]
    [InlineData(2, 0x55555555u, 0xAAAAAAAAu)]
    [InlineData(4, 0x77777777u, 0x88888888u)]
    [InlineData(8, 0x7F7F7F7Fu, 0x80808080u)]
    [InlineData(3, 0xDB6DB6DBu, 0x24924924u)]
    public void SymmetricZeroPointsAreTheKnownWords(int bits, uint first, uint second)
    {
        byte[] middle = [.. Enumerable.Repeat((byte)(1 << (bits - 1)), 32)];
        Assert.Equal(first, GptqZeroPointPacking.Pack(middle, 1, 32, bits, GptqZeroPoints.MinusOne)[0]);
        Assert.Equal(second, GptqZeroPointPacking.Pack(middle, 1, 32, bits, GptqZeroPoints.AsTheyAre)[0]);
    }

    [Theory]
    [InlineData("""{"bits": 4}""", "config-schema")]
    [InlineData("""{"bits": 5, "group_size": 32}""", "unsupported-bits")]
    [InlineData("""{"bits": "4", "group_size": 32}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": 0}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": 32, "sym": "yes"}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": 32, "checkpoint_format": "marlin"}""", "unsupported-format")]
    [InlineData("""{"bits": 4, "group_size": 32, "pack_dtype": "int64"}""", "unsupported-format")]
    [InlineData("""{"bits": 4, "group_size": 32, "dynamic": {"+:.*down": {"bits": 5}}}""", "unsupported-bits")]
    [InlineData("""{"bits": 4, "group_size": 32, "dynamic": {"+:.*down": {"group_size": 0}}}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": 32, "dynamic": {".*down": {"format": "gptq_p"}}}""", "unsupported-dynamic")]
    [InlineData("""{"bits": 4, "group_size": 32, "dynamic": {".*down": {"adapter": {"rank": 64}}}}""", "unsupported-dynamic")]
    [InlineData("""{"bits": 4, "group_size": 32, "dynamic": {".*down": 8}}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": 32, "dynamic": ["+:.*down"]}""", "config-schema")]
    [InlineData("""{"bits": 4, "group_size": 32, "dynamic": {"+:(down": {"bits": 8}}}""", "config-pattern")]
    [InlineData("""{"bits": 4, "group_size": 32, "dynamic": {"+:.*down": {"bits": 3}}, "meta": {"quantizer": "gptqmodel:5.8.0"}}""", "unsupported-format")]
    [InlineData("""{"bits": 3, "group_size": 32, "meta": {"quantizer": ["gptqmodel:5.8.0"]}}""", "unsupported-format")]
    [InlineData("[]", "config-schema")]
    public void ConfigurationsThatCannotBeReadAreRefused(string json, string kind)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        Assert.Equal(kind, Assert.Throws<CheckpointFormatException>(() => GptqConfig.Parse(document.RootElement, "config.json")).Kind);
    }

    [Fact]
    public void OurConfigurationMeansTheSame()
    {
        foreach (GptqLayout layout in new GptqLayout[] { new(4, 32, true, GptqZeroPoints.MinusOne), new(2, -1, false, GptqZeroPoints.AsTheyAre) })
        {
            using JsonDocument document = JsonDocument.Parse(GptqConfig.Build(layout.Grid, layout.ZeroPoints, false, false, "1.0").ToJsonString());
            Assert.Equal(layout, GptqConfig.Parse(document.RootElement, "config.json").Common);
        }
    }

    [Fact]
    public void DamagedWeightsAreRefusedByTensor()
    {
        UniformGrid grid = new(4, false, Granularity.Group, 32);
        UniformWeight weight = new(32, 64, grid, new byte[32 * 64], [.. Enumerable.Repeat(0.5f, 64)], [.. Enumerable.Repeat((byte)3, 64)], ScaleType.Float16);
        GptqLayout layout = new(4, 32, false, GptqZeroPoints.MinusOne);
        string Kind(Func<PendingTensor, PendingTensor?> change, GptqLayout? other = null)
        {
            using TemporaryFolder folder = new();
            List<PendingTensor> tensors = [];
            foreach (PendingTensor tensor in GptqWriter.Tensors(PendingWeight.Of("m", weight), GptqZeroPoints.MinusOne)) if (change(tensor) is { } kept) tensors.Add(kept);
            SafetensorsWriter.Write(folder.File("one"), tensors);
            using SafetensorsFile file = SafetensorsFile.Open(folder.File("one"));
            Exception? error = Record.Exception(() => GptqReader.Read(file, "m", other ?? layout));
            return error is null ? "read" : Assert.IsType<CheckpointFormatException>(error).Kind;
        }

        PendingTensor Replace(PendingTensor tensor, string name, Func<PendingTensor, PendingTensor> change) => tensor.Name == "m." + name ? change(tensor) : tensor;
        Assert.Equal("read", Kind(tensor => tensor));
        Assert.Equal("read", Kind(tensor => tensor.Name == "m.g_idx" ? null : tensor));
        foreach (string name in new[] { "qweight", "qzeros", "scales" }) Assert.Equal("missing-tensor", Kind(tensor => tensor.Name == "m." + name ? null : tensor));
        Assert.Equal("size-mismatch", Kind(tensor => tensor, layout with { Bits = 8 }));
        Assert.Equal("size-mismatch", Kind(tensor => tensor, layout with { GroupSize = 64 }));
        Assert.Equal("group-size", Kind(tensor => tensor, layout with { GroupSize = 48 }));
        Assert.Equal("zero-point", Kind(tensor => tensor, layout with { Symmetric = true }));
        foreach (float bad in new[] { 0f, float.NaN })
            Assert.Equal("scale", Kind(tensor => Replace(tensor, "scales", t => t with { Write = sink => sink.WriteSingles([.. Enumerable.Repeat(1f, 63), bad]) })));
        Assert.Equal("zero-underflow", Kind(tensor => Replace(tensor, "qzeros", t => t with { Write = sink => sink.Write<int>([.. Enumerable.Repeat(-1, 8)]) })));
        foreach (int group in new[] { 0, 7, -5 })
            Assert.Equal("g-idx", Kind(tensor => Replace(tensor, "g_idx", t => t with { Write = sink => sink.Write<int>([.. Enumerable.Repeat(group, 64)]) })));
        Assert.Equal("dtype", Kind(tensor => Replace(tensor, "qweight", t => t with { Type = SafetensorsType.F32, Write = sink => sink.WriteSingles(new float[8 * 32]) })));
    }

    internal static void AssertValues(float[] expected, OrderedWeight weight)
    {
        var actual = new float[expected.Length];
        weight.Dequantize(actual);
        Assert.Equal(expected, actual.Select(value => StorageScale.RoundAny(value, ScaleType.Float16)));
    }
}
