using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Tests.Formats;

public sealed class GgufWriterTests
{
    public static TheoryData<string> ValidFiles => ["alignment-8", "alignment-64", "all-values", "name-63-bytes", "no-tensors", "nothing", "scalar", "zero-elements"];

    [Theory]
    [MemberData(nameof(ValidFiles))]
    public void AFileReadAndWrittenIsTheSameFile(string name)
    {
        string source = TestData.Path("golden", "gguf", "valid", name + ".gguf");
        using TemporaryFolder folder = new();
        Copy(source, folder.File("copy.gguf"));
        Assert.Equal(File.ReadAllBytes(source), File.ReadAllBytes(folder.File("copy.gguf")));
    }

    [Fact]
    public void AModelReadAndWrittenIsTheSameFile()
    {
        string source = TestData.Path("golden", "gguf", "mixed", "mixed.gguf");
        using TemporaryFolder folder = new();
        Copy(source, folder.File("copy.gguf"));
        Assert.Equal(File.ReadAllBytes(source), File.ReadAllBytes(folder.File("copy.gguf")));
    }

    [Fact]
    public void NothingIsLeftOfAFileThatFails()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("a.gguf");
        File.WriteAllText(path, "before");
        PendingGgufTensor good = PendingGgufTensor.FromSingles("good", GgmlType.Q8_0, [1, 32], new float[32]);
        PendingGgufTensor[] bad =
        [
            new("short", GgmlType.F32, [4], sink => sink.Write(new byte[15])),
            new("long", GgmlType.F32, [4], sink => sink.Write(new byte[17])),
            new("part", GgmlType.Q8_0, [32], sink => sink.WriteSingles(new float[31])),
            new("k", GgmlType.Q4_K, [256], sink => sink.WriteSingles(new float[256])),
            new("full", GgmlType.F32, [4], _ => throw new IOException("No space left on device.")),
        ];
        foreach (PendingGgufTensor tensor in bad)
        {
            Exception? error = Record.Exception(() => { GgufWriter.Write(path, [], [good, tensor], TestContext.Current.CancellationToken); });
            Assert.True(error is InvalidOperationException or IOException, tensor.Name);
            Assert.Equal(["a.gguf"], Directory.GetFiles(folder.Path).Select(Path.GetFileName));
            Assert.Equal("before", File.ReadAllText(path));
        }
    }

    [Fact]
    public void WhatNoReaderWouldTakeIsRefused()
    {
        using TemporaryFolder folder = new();
        GgufValue one = GgufValue.Of(1u);
        PendingGgufTensor Named(string name) => PendingGgufTensor.FromSingles(name, GgmlType.F32, [1], [1]);
        KeyValuePair<string, GgufValue> Key(string key, GgufValue value) => new(key, value);
        (KeyValuePair<string, GgufValue>[] Metadata, PendingGgufTensor[] Tensors)[] cases =
        [
            ([Key("a", one), Key("a", one)], []),
            ([Key("", one)], []),
            ([Key("general.alignment", GgufValue.Of(24u))], []),
            ([Key("general.alignment", GgufValue.Of(32))], []),
            ([Key("lone", GgufValue.Of("\uD800"))], []),
            ([], [Named("a"), Named("a")]),
            ([], [Named("")]),
            ([], [Named(new string('x', 64))]),
            ([], [PendingGgufTensor.FromSingles("rows", GgmlType.Q4_0, [2, 16], new float[32])]),
            ([], [PendingGgufTensor.FromSingles("dims", GgmlType.F32, [1, 1, 1, 1, 1], new float[1])]),
        ];
        foreach ((KeyValuePair<string, GgufValue>[] metadata, PendingGgufTensor[] tensors) in cases)
            Assert.ThrowsAny<ArgumentException>(() => GgufWriter.Write(folder.File("a.gguf"), metadata, tensors, TestContext.Current.CancellationToken));
        Assert.Throws<ArgumentException>(() => GgufValue.Of(new object[1]));
        Assert.Throws<ArgumentException>(() => GgufValue.Of(new int[][] { [1] }));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void ADiskThatIsTooSmallIsKnownBeforehand()
    {
        using TemporaryFolder folder = new();
        bool asked = false;
        var huge = new PendingGgufTensor("huge", GgmlType.F32, [1L << 30, 1L << 20], _ => asked = true);
        Assert.Contains("free", Assert.Throws<IOException>(() => GgufWriter.Write(folder.File("a.gguf"), [], [huge], TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
        Assert.False(asked);
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void FloatsAreStoredAsDeclared()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("a.gguf");
        float[] values = [.. Enumerable.Range(0, 70_000 / 32 * 32).Select(i => MathF.Sin(i) * i / 4)];
        GgmlType[] types = [GgmlType.F32, GgmlType.F16, GgmlType.BF16, GgmlType.Q8_0];
        GgufWriter.Write(path, [], [.. types.Select(type => PendingGgufTensor.FromSingles(type.ToString(), type, [values.Length], values))], TestContext.Current.CancellationToken);
        using GgufFile file = GgufFile.Open(path);
        float[] read = new float[values.Length];
        file.ReadSingles("F32", read);
        Assert.Equal(values, read);
        file.ReadSingles("F16", read);
        Assert.Equal(values.Select(value => (float)(Half)value), read);
        file.ReadSingles("BF16", read);
        for (int i = 0; i < values.Length; i++) Assert.InRange(read[i], Math.Min(values[i] * 0.996f, values[i] * 1.004f), Math.Max(values[i] * 0.996f, values[i] * 1.004f));
        file.ReadSingles("Q8_0", read);
        // Half a step of the largest block, and d rounded to a half.
        float largest = values.Max(MathF.Abs), bound = largest * ((1 / 254f) + (1 / 2048f));
        for (int i = 0; i < values.Length; i++) Assert.InRange(read[i], values[i] - bound, values[i] + bound);
    }

    private static void Copy(string source, string path)
    {
        using GgufFile file = GgufFile.Open(source);
        long length = GgufWriter.Write(path, [.. file.Metadata.All], [.. file.Names.Select(name => PendingGgufTensor.Copy(file, name))], TestContext.Current.CancellationToken);
        Assert.Equal(new FileInfo(path).Length, length);
    }
}
