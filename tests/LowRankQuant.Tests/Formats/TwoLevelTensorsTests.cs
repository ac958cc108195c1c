using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.TwoLevel;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

public sealed class TwoLevelTensorsTests
{
    private const int Rows = 5, Columns = 768;

    public static TheoryData<string> Grids => [.. TwoLevelGrid.All.Select(grid => grid.Name)];

    [Theory]
    [MemberData(nameof(Grids))]
    public void EveryFieldIsReadBack(string name)
    {
        TwoLevelWeight weight = Random(TwoLevelGrid.Find(name)!);
        using var folder = new TemporaryFolder();
        string file = folder.File("w.safetensors");
        SafetensorsWriter.Write(file, TwoLevelTensors.Write("m", weight), SafetensorsWriter.PyTorchMetadata, TestContext.Current.CancellationToken);
        using SafetensorsFile stored = SafetensorsFile.Open(file);
        Assert.Equal(["m"], TwoLevelTensors.Modules(stored));
        Assert.Equal((weight.Grid, Rows, Columns), TwoLevelTensors.Describe(stored, "m"));
        TwoLevelWeight read = TwoLevelTensors.Read(stored, "m");
        Assert.Equal(weight.Codes, read.Codes);
        Assert.Equal(weight.Scales.BlockScales, read.Scales.BlockScales);
        Assert.Equal(weight.Scales.GroupScales, read.Scales.GroupScales);
        Assert.Equal(weight.Scales.BlockMinima, read.Scales.BlockMinima);
        Assert.Equal(weight.Scales.GroupMinima, read.Scales.GroupMinima);
        Assert.Equal(weight.StoredBits, 8 * stored.Tensors.Values.Sum(tensor => tensor.ByteLength));
    }

    [Fact]
    public void IntegersOfABytesWidthAsOlderFoldersHaveThemAreRead()
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("w.safetensors");
        SafetensorsWriter.Write(
            file, AsOlder(TwoLevelTensors.Write("m", Random(TwoLevelGrid.Q2K)), 7), SafetensorsWriter.PyTorchMetadata, TestContext.Current.CancellationToken);
        using SafetensorsFile stored = SafetensorsFile.Open(file);
        TwoLevelWeight read = TwoLevelTensors.Read(stored, "m");
        Assert.All(read.Scales.GroupScales, scale => Assert.Equal(7, scale));
        Assert.Equal(Enumerable.Range(0, Rows * 48).Select(i => (byte)(i % 16)), read.Scales.GroupMinima);
    }

    [Theory]
    [InlineData("weight_block_scale", "missing-tensor")]
    [InlineData("weight_group_scale", "missing-tensor")]
    [InlineData("weight_group_minimum", "missing-tensor")]
    [InlineData("weight_block_minimum", "size-mismatch")]
    public void AMissingTensorIsNamed(string absent, string kind)
    {
        CheckpointFormatException failure = Refused(tensors => [.. tensors.Where(tensor => tensor.Name != $"m.{absent}")]);
        Assert.Equal(kind, failure.Kind);
    }

    [Fact]
    public void WrongShapesTypesAndValuesAreRefused()
    {
        Assert.Equal("size-mismatch", Refused(tensors => Replace(tensors, PendingTensor.FromBytes("m.weight_group_scale", SafetensorsType.U8, [Rows, 23], new byte[Rows * 23]))).Kind);
        Assert.Equal("size-mismatch", Refused(tensors => Replace(tensors, PendingTensor.FromBytes("m.weight_group_scale", SafetensorsType.I8, [Rows, 47], new byte[Rows * 47]))).Kind);
        Assert.Equal("size-mismatch", Refused(tensors => Replace(tensors, PendingTensor.FromBytes("m.weight_group_scale", SafetensorsType.I32, [Rows, 6], new byte[Rows * 24]))).Kind);
        Assert.Equal("size-mismatch", Refused(tensors => Replace(tensors, PendingTensor.FromBytes("m.weight_group_minimum", SafetensorsType.U8, [Rows - 1, 24], new byte[(Rows - 1) * 24]))).Kind);
        Assert.Equal("size-mismatch", Refused(tensors => Replace(tensors, PendingTensor.FromSingles("m.weight_block_scale", SafetensorsType.BF16, [Rows, 3], new float[Rows * 3]))).Kind);
        Assert.Equal("size-mismatch", Refused(tensors => Replace(tensors, PendingTensor.FromBytes("m.weight_codes", SafetensorsType.I32, [Rows, 49], new byte[Rows * 49 * 4]))).Kind);
        Assert.Equal("size-mismatch", Refused(tensors => Replace(tensors, PendingTensor.FromBytes("m.weight_codes", SafetensorsType.I32, [Rows * 48], new byte[Rows * 48 * 4]))).Kind);
        Assert.Equal("bad-scale", Refused(tensors => [.. AsOlder(tensors, 16)]).Kind);
        float[] infinite = new float[Rows * 3];
        infinite[7] = float.PositiveInfinity;
        Assert.Equal("bad-scale", Refused(tensors => Replace(tensors, PendingTensor.FromSingles("m.weight_block_scale", SafetensorsType.F16, [Rows, 3], infinite))).Kind);
    }

    [Fact]
    public void TheConfigurationNamesModulesByGridAndKeepsUniformOnes()
    {
        var uniform = new QuantizedModule("a.q", new UniformGrid(4, true, Granularity.Channel));
        JsonObject config = TwoLevelConfig.Build([("a.down", "Q3_K"), ("b.down", "Q3_K"), ("b.up", "Q2_K")], [uniform], ["lm_head"], null);
        Assert.Equal(TwoLevelConfig.QuantMethod, config["quant_method"]!.GetValue<string>());
        Assert.Equal(["a.down", "b.down"], config["grids"]!["Q3_K"]!.AsArray().Select(node => node!.GetValue<string>()));
        Assert.Equal(CompressedTensorsConfig.QuantMethod, config["uniform"]!["quant_method"]!.GetValue<string>());
        Assert.Null(TwoLevelConfig.Build([("a.down", "Q3_K")], [], [], null)["uniform"]);
    }

    private static CheckpointFormatException Refused(Func<List<PendingTensor>, List<PendingTensor>> change)
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("w.safetensors");
        SafetensorsWriter.Write(file, change(TwoLevelTensors.Write("m", Random(TwoLevelGrid.Q2K))), SafetensorsWriter.PyTorchMetadata, TestContext.Current.CancellationToken);
        using SafetensorsFile stored = SafetensorsFile.Open(file);
        return Assert.Throws<CheckpointFormatException>(() => TwoLevelTensors.Read(stored, "m"));
    }

    private static List<PendingTensor> AsOlder(List<PendingTensor> tensors, byte scale) => Replace(
        Replace(tensors, PendingTensor.FromBytes("m.weight_group_scale", SafetensorsType.I8, [Rows, 48], [.. Enumerable.Repeat(scale, Rows * 48)])),
        PendingTensor.FromBytes("m.weight_group_minimum", SafetensorsType.U8, [Rows, 48], [.. Enumerable.Range(0, Rows * 48).Select(i => (byte)(i % 16))]));

    private static List<PendingTensor> Replace(List<PendingTensor> tensors, PendingTensor by) => [.. tensors.Where(tensor => tensor.Name != by.Name), by];

    private static TwoLevelWeight Random(TwoLevelGrid grid)
    {
        var random = new SeededRandom(9);
        int groups = Rows * grid.GroupsPerRow(Columns), blocks = Rows * grid.ScalesPerRow(Columns);
        Half[] Halves() => [.. Enumerable.Range(0, blocks).Select(_ => (Half)random.NextGaussian())];
        byte[] codes = [.. Enumerable.Range(0, Rows * Columns).Select(_ => (byte)random.NextInt32(grid.MaxCode + 1))];
        sbyte[] scales = [.. Enumerable.Range(0, groups).Select(_ => (sbyte)(grid.MinScale + random.NextInt32(grid.MaxScale - grid.MinScale + 1)))];
        byte[] minima = [.. Enumerable.Range(0, groups).Select(_ => (byte)random.NextInt32(grid.MaxMinimum + 1))];
        return new TwoLevelWeight(
            Rows, Columns, grid, codes, new TwoLevelScales(Halves(), scales, grid.Symmetric ? null : Halves(), grid.Symmetric ? null : minima));
    }
}
