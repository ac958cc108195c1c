#pragma warning disable xUnit1051 // These writes take milliseconds; a cancelled run need not interrupt them.
using System.Text.Json;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

public class SafetensorsWriterTests
{
    [Theory]
    [InlineData("w4-g32-asym")]
    [InlineData("w4-g32-asym-f32")]
    [InlineData("w8-naive")]
    public void ACopyInReferenceOrderHasTheBytesOfTheReferenceLibrary(string name)
    {
        string path = TestData.Path("golden", "compressed-tensors", name, "model.safetensors");
        using TemporaryFolder folder = new();
        using SafetensorsFile file = SafetensorsFile.Open(path);
        List<PendingTensor> shuffled = [.. file.Names.Select(n => PendingTensor.Copy(file, n)).OrderBy(t => t.Name.Length)];
        SafetensorsWriter.Write(folder.File("copy"), PendingTensor.ReferenceOrder(shuffled));
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(folder.File("copy")));
    }

    [Theory]
    [InlineData(long.MaxValue, 1)]
    [InlineData(40_000, 3)]
    [InlineData(1, 5)]
    public void ShardsHoldWhatWasWritten(long shardSize, int expectedFiles)
    {
        using TemporaryFolder folder = new();
        float[][] values = [.. Enumerable.Range(0, 5).Select(i => Enumerable.Range(0, 4096).Select(j => (float)Math.Sin((i * 5000) + j)).ToArray())];
        List<PendingTensor> tensors = [.. values.Select((v, i) => PendingTensor.FromSingles($"t.{i}", SafetensorsType.F32, [64, 64], v))];
        IReadOnlyList<string> written = SafetensorsFolderWriter.Write(folder.Path, tensors, shardSize);
        Assert.Equal(expectedFiles, written.Count(p => p.EndsWith(".safetensors", StringComparison.Ordinal)));
        Assert.Equal(written.Order(), Directory.GetFiles(folder.Path).Order());
        Assert.Equal(expectedFiles == 1, File.Exists(folder.File("model.safetensors")));
        using (SafetensorsFolder read = SafetensorsFolder.Open(folder.Path))
        {
            for (int i = 0; i < 5; i++)
            {
                float[] back = new float[4096];
                read.ReadSingles($"t.{i}", back);
                Assert.Equal(values[i], back);
            }
            if (expectedFiles == 3) Assert.EndsWith("model-00003-of-00003.safetensors", read.FileOf("t.4"), StringComparison.Ordinal);
        }
        if (expectedFiles > 1)
        {
            using JsonDocument index = JsonDocument.Parse(File.ReadAllBytes(folder.File(SafetensorsFolder.IndexFileName)));
            Assert.Equal(5 * 4096 * 4, index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
        }
        Assert.Throws<IOException>(() => SafetensorsFolderWriter.Write(folder.Path, tensors, shardSize));
        SafetensorsFolderWriter.Write(folder.Path, tensors, overwrite: true);
        Assert.Equal(["model.safetensors"], Directory.GetFiles(folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public void AFailedCallbackLeavesTheOldFileAndNothingElse()
    {
        using TemporaryFolder folder = new();
        string path = folder.Write("model.safetensors", [1, 2, 3]);
        PendingTensor[] tensors =
        [
            new("short", SafetensorsType.F32, [2], sink => sink.WriteSingles([1f])),
            new("long", SafetensorsType.F32, [2], sink => sink.WriteSingles([1f, 2f, 3f])),
            new("wrong", SafetensorsType.I32, [2], sink => sink.WriteSingles([1f, 2f])),
        ];
        foreach (PendingTensor tensor in tensors) Assert.Throws<InvalidOperationException>(() => SafetensorsWriter.Write(path, [tensor]));
        Assert.Equal([1, 2, 3], File.ReadAllBytes(path));
        Assert.Single(Directory.GetFiles(folder.Path));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(path, [tensors[0], tensors[0]]));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(path, [tensors[0] with { Name = "__metadata__" }]));
    }

    [Fact]
    public void StrangeNamesAndEmptyTensorsSurvive()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("a.safetensors");
        PendingTensor[] tensors =
        [
            PendingTensor.FromBytes("é😀\"\\\n+<>", SafetensorsType.U8, [3], [1, 2, 3]),
            PendingTensor.FromBytes("", SafetensorsType.I64, [0, 7], []),
            PendingTensor.FromSingles("scalar", SafetensorsType.BF16, [], [1.5f]),
        ];
        SafetensorsWriter.Write(path, tensors, new Dictionary<string, string> { ["k"] = "v\u0001" });
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal(tensors.Select(t => t.Name), file.Names);
        Assert.Equal("v\u0001", file.Metadata["k"]);
        Assert.Equal([1, 2, 3], file.GetBytes(tensors[0].Name, 0, 3).ToArray());
        float[] scalar = new float[1];
        file.ReadSingles("scalar", scalar);
        Assert.Equal(1.5f, scalar[0]);
    }

    [Fact]
    public void VectorConversionsAreTheScalarOnes()
    {
        ushort[] all = [.. Enumerable.Range(0, 65536).Select(i => (ushort)i)];
        float[] halves = new float[65536], brains = new float[65536];
        HalfConversion.Float16ToSingle(all, halves);
        HalfConversion.BFloat16ToSingle(all, brains);
        ushort[] back = new ushort[65536];
        for (int i = 0; i < 65536; i++)
        {
            float half = (float)BitConverter.UInt16BitsToHalf((ushort)i);
            if (float.IsNaN(half)) Assert.True(float.IsNaN(halves[i]));
            else Assert.Equal(BitConverter.SingleToInt32Bits(half), BitConverter.SingleToInt32Bits(halves[i]));
            Assert.Equal((uint)i << 16, BitConverter.SingleToUInt32Bits(brains[i]));
        }
        HalfConversion.SingleToFloat16(halves, back);
        for (int i = 0; i < 65536; i++) Assert.True(float.IsNaN(halves[i]) || back[i] == i);

        // Every exponent with mantissas around the rounding borders of both types.
        List<float> values = [];
        for (uint exponent = 0; exponent < 512; exponent++)
        {
            for (uint step = 0; step < 512; step++)
                values.Add(BitConverter.UInt32BitsToSingle((exponent << 23) | ((step >> 2) << 12) | (uint)((int)(step & 3) - 1) & 0x7FFFFF));
        }
        float[] singles = [.. values];
        ushort[] half16 = new ushort[singles.Length], brain16 = new ushort[singles.Length];
        HalfConversion.SingleToFloat16(singles, half16);
        HalfConversion.SingleToBFloat16(singles, brain16);
        for (int i = 0; i < singles.Length; i++)
        {
            if (float.IsNaN(singles[i])) Assert.True(Half.IsNaN(BitConverter.UInt16BitsToHalf(half16[i])));
            else Assert.Equal(BitConverter.HalfToUInt16Bits((Half)singles[i]), half16[i]);
            Assert.Equal(BFloat16.FromSingle(singles[i]), brain16[i]);
        }
    }
}
