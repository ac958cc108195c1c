using LowRankQuant.Formats;
using LowRankQuant.Formats.Branches;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

/// <summary>lrq's own file of branches: what is counted is what is stored, every value comes back, and what is unsound is refused by name.</summary>
public sealed class BranchFileTests : IDisposable
{
    private const string Module = "model.layers.0.mlp.up_proj";
    private const int Rank = 3, Out = 40, In = 24;

    private static readonly byte[] One = [0x00, 0x3C], NotANumber = [0x00, 0x7E];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(8, ScaleType.Float16, SafetensorsType.F16)]
    [InlineData(8, ScaleType.BFloat16, SafetensorsType.BF16)]
    [InlineData(16, ScaleType.Float16, SafetensorsType.F16)]
    [InlineData(16, ScaleType.BFloat16, SafetensorsType.BF16)]
    public void EveryValueIsReadBackFromTheBytesThatAreCounted(int bits, ScaleType type, SafetensorsType stored)
    {
        LowRankBranch branch = Branch(bits, type);
        Write(branch, bits);
        using (SafetensorsFile file = SafetensorsFile.Open(Path.Combine(_folder.Path, BranchFile.FileName)))
        {
            Assert.Equal(branch.StoredBits, 8 * file.Tensors.Values.Sum(tensor => tensor.ByteLength));
            string[] expected = bits == 8
                ?
                [
                    $"{Module}.lora_A.codes I8 [3, 24]", $"{Module}.lora_A.scale {stored} [3]", $"{Module}.lora_B.codes I8 [40, 3]", $"{Module}.lora_B.scale {stored} [3]",
                ]
                : [$"{Module}.lora_A {stored} [3, 24]", $"{Module}.lora_B {stored} [40, 3]"];
            Assert.Equal(expected, file.Tensors.Values.Select(tensor => $"{tensor.Name} {tensor.Describe()}").Order(StringComparer.Ordinal));
            Assert.Equal("1", file.Metadata["lrq.branches"]);
        }
        using BranchFile read = BranchFile.Open(_folder.Path);
        LowRankBranch back = read.Read(Module)!;
        Assert.Equal((Rank, bits), (back.Rank, back.BitsPerFactor));
        Assert.Equal(branch.A, back.A);
        Assert.Equal(branch.B, back.B);
        Assert.Equal(((Out, In), Rank, branch.StoredBits), (read.ShapeOf(Module), read.RankOf(Module), read.StoredBitsOf(Module)));
        Assert.Null(read.Read("model.layers.1.mlp.up_proj"));
    }

    [Fact]
    public void WhatTheBitsCannotHoldIsNeverWritten()
    {
        LowRankBranch branch = Branch(8, ScaleType.Float16);
        branch.A[5] *= 1.001f;
        Assert.Contains("lora_A: a value is no 8-bit code", Assert.Throws<ArgumentException>(() => Write(branch, 8)).Message, StringComparison.Ordinal);
        Assert.Contains("lora_A: a value is no 16-bit float", Assert.Throws<ArgumentException>(() => Write(branch, 16)).Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Theory]
    [InlineData("version", "lrq.branches", "is '2'; 1 is read")]
    [InlineData("no version", "lrq.branches", "missing from the file's metadata")]
    [InlineData("stray", "norm.weight", "names are MODULE.lora_A and MODULE.lora_B")]
    [InlineData("lonely", "lora_B.codes", "lacks this tensor")]
    [InlineData("no scale", "lora_B.scale", "lacks this tensor")]
    [InlineData("rank", "lora_B.codes", "is I8 [40, 2]")]
    [InlineData("scales", "lora_A.scale", "rank 3 takes [3]")]
    [InlineData("type", "lora_A.codes", "is U8 [3, 24]")]
    [InlineData("both", "lora_A", "does not belong beside")]
    [InlineData("empty", "lora_B.codes", "is I8 [0, 3]")]
    public void AnUnsoundFileIsRefusedByName(string what, string item, string message)
    {
        WriteRaw(what);
        CheckpointFormatException refused = Assert.Throws<CheckpointFormatException>(() => BranchFile.Open(_folder.Path).Dispose());
        Assert.Contains(item, refused.Message, StringComparison.Ordinal);
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("code", "element 7 is -128; codes are -127 to 127")]
    [InlineData("scale value", "is NaN")]
    public void AnUnsoundValueIsRefusedByName(string what, string message)
    {
        WriteRaw(what);
        using BranchFile file = BranchFile.Open(_folder.Path);
        Assert.Contains(message, Assert.Throws<CheckpointFormatException>(() => file.Read(Module)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TwoAdaptersInOneFolderAreRefused()
    {
        Write(Branch(8, ScaleType.Float16), 8);
        File.WriteAllText(_folder.File(PeftAdapterWriter.ConfigFile), "{}");
        using ICheckpoint demo = CheckpointOpener.Open(TestData.Demo);
        Assert.Contains("two adapters; move one of them away", Assert.Throws<CheckpointException>(() => AdapterOpener.Open(_folder.Path, demo)).Message, StringComparison.Ordinal);
    }

    private static LowRankBranch Branch(int bits, ScaleType type)
    {
        var random = new SeededRandom(4);
        // Halves end at 6e-8: what is smaller needs the exponents of bfloat16.
        double size = type == ScaleType.Float16 ? 0.01 : 1e-12;
        float[] Factor(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)(size * random.NextGaussian()))];
        float[] a = Factor(Rank * In), b = Factor(Out * Rank);
        LowRankQuant.Quantization.Layers.FactorRounding.Rows(a, Rank, bits);
        LowRankQuant.Quantization.Layers.FactorRounding.Columns(b, Rank, bits);
        return new LowRankBranch(Rank, a, b, bits);
    }

    private void Write(LowRankBranch branch, int bits) =>
        BranchFileWriter.Write(_folder.Path, [new AdapterModule(Module, Out, In, Rank, () => branch.A, () => branch.B), new AdapterModule("none", 8, 8, 0, () => [], () => [])], bits);

    private void WriteRaw(string what)
    {
        PendingTensor Tensor(string end, SafetensorsType type, long[] shape, byte[]? bytes = null) => PendingTensor.FromBytes(
            $"{Module}.{end}", type, shape, bytes ?? new byte[shape.Aggregate(1L, (product, size) => product * size) * type.Size()]);
        byte[] codes = new byte[Rank * In], scale = [.. Enumerable.Repeat(One, Rank).SelectMany(bytes => bytes)];
        if (what == "code") codes[7] = 0x80;
        if (what == "scale value") NotANumber.CopyTo(scale, 2);
        List<PendingTensor> tensors =
        [
            Tensor("lora_A.codes", what == "type" ? SafetensorsType.U8 : SafetensorsType.I8, [Rank, In], codes),
            Tensor("lora_A.scale", SafetensorsType.F16, [what == "scales" ? 2 : Rank], what == "scales" ? null : scale),
            Tensor("lora_B.codes", SafetensorsType.I8, [what == "empty" ? 0 : Out, what == "rank" ? 2 : Rank]),
            Tensor("lora_B.scale", SafetensorsType.F16, [Rank]),
        ];
        if (what == "lonely") tensors.RemoveRange(2, 2);
        if (what == "no scale") tensors.RemoveAt(3);
        if (what == "both") tensors.Add(Tensor("lora_A", SafetensorsType.F16, [Rank, In]));
        if (what == "stray") tensors.Add(PendingTensor.FromBytes("norm.weight", SafetensorsType.F16, [1], new byte[2]));
        Dictionary<string, string> metadata = what == "no version" ? [] : new() { ["lrq.branches"] = what == "version" ? "2" : "1" };
        SafetensorsWriter.Write(_folder.File(BranchFile.FileName), tensors, metadata, TestContext.Current.CancellationToken);
    }
}
