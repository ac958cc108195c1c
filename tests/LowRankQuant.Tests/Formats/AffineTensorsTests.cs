using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Affine;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

public sealed class AffineTensorsTests
{
    private const int Rows = 5, Columns = 96;
    private static readonly AffineGrid Grid = new(3, 32);

    [Theory]
    [InlineData(2, 32, ScaleType.Float16)]
    [InlineData(3, 16, ScaleType.BFloat16)]
    [InlineData(5, 96, ScaleType.Float32)]
    [InlineData(8, 48, ScaleType.Float16)]
    public void EveryFieldIsReadBackAndEveryBitCounted(int bits, int group, ScaleType type)
    {
        AffineWeight weight = Random(new AffineGrid(bits, group), type);
        using var folder = new TemporaryFolder();
        string file = folder.File("w.safetensors");
        SafetensorsWriter.Write(file, AffineTensors.Write("m", weight), SafetensorsWriter.PyTorchMetadata, TestContext.Current.CancellationToken);
        using SafetensorsFile stored = SafetensorsFile.Open(file);
        Assert.Equal(["m"], AffineTensors.Modules(stored));
        Assert.Equal((Rows, Columns), AffineTensors.ShapeOf(stored, "m", weight.Grid));
        AffineWeight read = AffineTensors.Read(stored, "m", weight.Grid);
        Assert.Equal(weight.Codes, read.Codes);
        Assert.Equal(weight.Scales, read.Scales);
        Assert.Equal(weight.Minima, read.Minima);
        Assert.Equal(type, read.ScaleType);
        Assert.Equal(weight.StoredBits, 8 * stored.Tensors.Values.Sum(tensor => tensor.ByteLength));
    }

    [Theory]
    [InlineData("weight_affine")]
    [InlineData("weight_affine_scale")]
    [InlineData("weight_affine_minimum")]
    public void AMissingTensorIsNamed(string absent)
    {
        CheckpointFormatException failure = Refused(tensors => [.. tensors.Where(tensor => tensor.Name != $"m.{absent}")]);
        Assert.Equal(("missing-tensor", $"m.{absent}"), (failure.Kind, failure.Item));
    }

    [Fact]
    public void WrongShapesTypesAndValuesAreRefusedByTensor()
    {
        float[] good = [.. Enumerable.Repeat(1f, Rows * 3)], infinite = [.. good], zero = [.. good];
        (infinite[7], zero[2]) = (float.PositiveInfinity, 0);
        foreach ((PendingTensor bad, string kind) in new[]
        {
            (PendingTensor.FromBytes("m.weight_affine", SafetensorsType.I32, [Rows, 8], new byte[Rows * 8 * 4]), "size-mismatch"),
            (PendingTensor.FromBytes("m.weight_affine", SafetensorsType.I32, [Rows * 9], new byte[Rows * 9 * 4]), "size-mismatch"),
            (PendingTensor.FromBytes("m.weight_affine", SafetensorsType.U8, [Rows, 36], new byte[Rows * 36]), "dtype"),
            (PendingTensor.FromBytes("m.weight_affine_scale", SafetensorsType.I32, [Rows, 3], new byte[Rows * 12]), "dtype"),
            (PendingTensor.FromSingles("m.weight_affine_minimum", SafetensorsType.F32, [Rows, 3], good), "dtype"),
            (PendingTensor.FromSingles("m.weight_affine_minimum", SafetensorsType.F16, [Rows - 1, 3], good[..^3]), "size-mismatch"),
            (PendingTensor.FromSingles("m.weight_affine_minimum", SafetensorsType.F16, [Rows, 3], infinite), "scale"),
            (PendingTensor.FromSingles("m.weight_affine_scale", SafetensorsType.F16, [Rows, 3], infinite), "scale"),
            (PendingTensor.FromSingles("m.weight_affine_scale", SafetensorsType.F16, [Rows, 3], zero), "scale"),
        })
        {
            CheckpointFormatException failure = Refused(tensors => [.. tensors.Where(tensor => tensor.Name != bad.Name), bad]);
            Assert.Equal((kind, bad.Name), (failure.Kind, failure.Item));
        }
    }

    [Fact]
    public void TheConfigurationNamesEveryModuleOnce()
    {
        JsonObject others = new() { ["quant_method"] = "compressed-tensors" };
        JsonObject config = AffineConfig.Build([("a.q", Grid), ("a.k", new AffineGrid(4, 64)), ("b.q", Grid)], others);
        AffineConfig read = Parse(config.ToJsonString());
        Assert.Equal((Grid, new AffineGrid(4, 64), Grid), (read.Grids["a.q"], read.Grids["a.k"], read.Grids["b.q"]));
        Assert.Equal("compressed-tensors", read.Others!.Value.GetProperty("quant_method").GetString());
        Assert.Null(Parse(AffineConfig.Build([("a.q", Grid)], null).ToJsonString()).Others);
    }

    [Theory]
    [InlineData("""{"version":2,"grids":[]}""", "unsupported-version")]
    [InlineData("""{"grids":[]}""", "config-schema")]
    [InlineData("""{"version":1}""", "config-schema")]
    [InlineData("""{"version":1,"grids":[7]}""", "config-schema")]
    [InlineData("""{"version":1,"grids":[{"bits":9,"group_size":32,"modules":["a"]}]}""", "unsupported-bits")]
    [InlineData("""{"version":1,"grids":[{"bits":4,"group_size":0,"modules":["a"]}]}""", "config-schema")]
    [InlineData("""{"version":1,"grids":[{"bits":4,"group_size":32,"modules":[3]}]}""", "config-schema")]
    [InlineData("""{"version":1,"grids":[{"bits":4,"group_size":32,"modules":["a","a"]}]}""", "config-schema")]
    [InlineData("""{"version":1,"grids":[],"others":3}""", "config-schema")]
    public void ConfigurationsThatSayNothingSoundAreRefused(string json, string kind) =>
        Assert.Equal(kind, Assert.Throws<CheckpointFormatException>(() => Parse(json)).Kind);

    private static AffineConfig Parse(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return AffineConfig.Parse(document.RootElement.Clone(), "config.json");
    }

    private static CheckpointFormatException Refused(Func<List<PendingTensor>, List<PendingTensor>> change)
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("w.safetensors");
        SafetensorsWriter.Write(file, change(AffineTensors.Write("m", Random(Grid, ScaleType.Float16))), SafetensorsWriter.PyTorchMetadata, TestContext.Current.CancellationToken);
        using SafetensorsFile stored = SafetensorsFile.Open(file);
        return Assert.Throws<CheckpointFormatException>(() => AffineTensors.Read(stored, "m", Grid));
    }

    private static AffineWeight Random(AffineGrid grid, ScaleType type)
    {
        var random = new SeededRandom(5);
        int groups = Rows * grid.GroupsPerRow(Columns);
        return new AffineWeight(
            Rows, Columns, grid, [.. Enumerable.Range(0, Rows * Columns).Select(_ => (byte)random.NextInt32(grid.MaxCode + 1))],
            [.. Enumerable.Range(0, groups).Select(_ => StorageScale.RoundAny(0.01f + (float)random.NextUniform(), type))],
            [.. Enumerable.Range(0, groups).Select(_ => StorageScale.RoundAny((float)random.NextGaussian(), type))], type);
    }
}
