using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Sources;

/// <summary>Folders and files as people have them: read where it is clear what they are, else one line that says what they are and what to do.</summary>
public sealed class FilesTests
{
    private const string Pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 7348736\n";

    [Fact]
    public void AByteOrderMarkInConfigJsonIsSkipped()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m"), config = Path.Combine(source, "config.json");
        File.WriteAllBytes(config, [0xEF, 0xBB, 0xBF, .. File.ReadAllBytes(config)]);
        using ICheckpoint model = CheckpointOpener.Open(source);
        Assert.Equal(4, model.Config.Layers);
    }

    [Theory]
    [InlineData("model-00001-of-00001.safetensors")]
    [InlineData("gptq_model-4bit-128g.safetensors")]
    [InlineData("pytorch_model.safetensors")]
    public void TheOnlySafetensorsFileIsReadWhateverItsName(string name)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m");
        File.Move(Path.Combine(source, "model.safetensors"), Path.Combine(source, name));
        using ICheckpoint model = CheckpointOpener.Open(source);
        Assert.Equal(38, model.TensorNames.Count);
    }

    [Fact]
    public void ShardsWithoutAnIndexAreReadWhenTheSetIsComplete()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m"), model = Path.Combine(source, "model.safetensors");
        KeyValuePair<string, StoredTensor>[] all = [.. AlteredDemo.Read(model)];
        File.Delete(model);
        for (int i = 0; i < 3; i++)
        {
            var part = new Dictionary<string, StoredTensor>(all.Where((_, index) => index % 3 == i));
            AlteredDemo.Write(Path.Combine(source, $"model-0000{i + 1}-of-00003.safetensors"), part);
        }
        using (ICheckpoint opened = CheckpointOpener.Open(source)) Assert.Equal(all.Length, opened.TensorNames.Count);
        File.Delete(Path.Combine(source, "model-00002-of-00003.safetensors"));
        Refused(source, "'model-00002-of-00003.safetensors'", "lacks this shard; 2 of 3 are there");
    }

    [Fact]
    public void AnIndexThatNamesAbsentFilesSaysHowMany()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m");
        File.Delete(Path.Combine(source, "model.safetensors"));
        File.WriteAllText(Path.Combine(source, "model.safetensors.index.json"), """{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}""");
        Refused(source, "'model-00001-of-00002.safetensors'", "2 of 2 files are missing");
    }

    [Fact]
    public void SeveralFilesThatCouldBeTheModelAreNotGuessedAt()
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m");
        File.Move(Path.Combine(source, "model.safetensors"), Path.Combine(source, "a.safetensors"));
        File.Copy(Path.Combine(source, "a.safetensors"), Path.Combine(source, "b.safetensors"));
        Refused(source, "2 files that could be the model (a.safetensors, b.safetensors)");
    }

    [Theory]
    [InlineData("model.safetensors")]
    [InlineData("config.json")]
    public void APointerOfGitLfsIsNamedInAFolder(string file)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m");
        File.WriteAllText(Path.Combine(source, file), Pointer);
        Refused(source, file, "is a git-lfs pointer", "git lfs pull");
    }

    [Theory]
    [InlineData("m.gguf", Pointer, "git-lfs pointer")]
    [InlineData("m.safetensors", Pointer, "git-lfs pointer")]
    [InlineData("m.bin", Pointer, "git-lfs pointer")]
    [InlineData("m.gguf", "<!DOCTYPE html><html>", "web page")]
    [InlineData("m.gguf", "tjgg\u0003\0\0\0", "before GGUF")]
    [InlineData("ggml-model-q4_0.bin", "lmgg\u0001", "before GGUF")]
    [InlineData("m.gguf", "", "is empty")]
    [InlineData("model.onnx", "\u0008\u0007", "ONNX")]
    [InlineData("pytorch_model.bin", "PK\u0003\u0004", "PyTorch pickle")]
    [InlineData("consolidated.00.pth", "PK\u0003\u0004", "PyTorch pickle")]
    [InlineData("x.ckpt", "\u0080\u0002}", "PyTorch pickle")]
    [InlineData("flax_model.msgpack", "abc", "Flax")]
    [InlineData("tf_model.h5", "abc", "HDF5")]
    [InlineData("notes.txt", "abc", "not a model that lrq reads")]
    public async Task OtherFilesAreNamedForWhatTheyAre(string name, string content, string what)
    {
        using var folder = new TemporaryFolder();
        string file = folder.File(name);
        await File.WriteAllBytesAsync(file, System.Text.Encoding.Latin1.GetBytes(content), TestContext.Current.CancellationToken);
        CliResult result = await Lrq.Run("eval", file, "--text", Path.Combine(TestData.Demo, "evaluation.txt"));
        Assert.Equal(1, result.Code);
        string line = Assert.Single(DemoRunTests.Lines(result.Error));
        Assert.Contains(what, line, StringComparison.Ordinal);
        Assert.Contains(name, line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("pytorch_model.bin", "PyTorch pickle")]
    [InlineData("consolidated.00.pth", "PyTorch pickle")]
    [InlineData("model.onnx", "ONNX")]
    [InlineData("model.ckpt", "PyTorch pickle")]
    public void AFolderWithoutSafetensorsNamesWhatItHolds(string name, string what)
    {
        using var folder = new TemporaryFolder();
        string source = AlteredDemo.Create(folder, "m");
        File.Move(Path.Combine(source, "model.safetensors"), Path.Combine(source, name));
        Refused(source, name, what);
    }

    [Fact]
    public void FoldersThatAreNoModelSayWhereOneIs()
    {
        using var folder = new TemporaryFolder();
        string empty = folder.File("empty"), cache = folder.File("cache"), snapshots = Path.Combine(cache, "snapshots");
        Directory.CreateDirectory(empty);
        Directory.CreateDirectory(snapshots);
        Refused(empty, "holds no files");
        string model = AlteredDemo.Create(folder, "m"), inside = Path.Combine(snapshots, "0123");
        Directory.Move(model, inside);
        Refused(cache, $"There is one in {inside}.");
        Refused(Path.Combine(inside, "model.safetensors"), "name the folder");
        Refused("HuggingFaceTB/SmolLM2-135M", "does not exist", "hf://HuggingFaceTB/SmolLM2-135M");
    }

    private static void Refused(string path, params string[] words)
    {
        Exception error = Assert.ThrowsAny<Exception>(() => CheckpointOpener.Open(path));
        Assert.True(error is CheckpointException or UnsupportedModelException or LowRankQuant.Formats.CheckpointFormatException, error.ToString());
        Assert.DoesNotContain('\n', error.Message);
        foreach (string word in words) Assert.Contains(word, error.Message, StringComparison.Ordinal);
    }
}
