using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Export;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>
/// A disk that fills up, file by file: where an output is about to write a file, or to write it aside, there is a link to Linux's <c>/dev/full</c>, which
/// takes no byte. The error names the file, nothing half-written stays, and an earlier output is untouched.
/// </summary>
public class FullDiskTests
{
    private const string Full = "/dev/full", NextShard = "(second shard)";

    private static readonly string[] Shared = [NextShard, "model.safetensors.index.json", "tokenizer.json", "generation_config.json", "config.json"];

    // What files are called until they are complete.
    private static readonly string[] Aside = [AtomicFile.Suffix];

    [Theory]
    [InlineData("gptq", "quantize_config.json", "adapter/adapter_model.safetensors", "adapter/adapter_config.json")]
    [InlineData("awq", "quantize_config.json", "adapter/adapter_model.safetensors", "adapter/adapter_config.json")]
    [InlineData("compressed-tensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json")]
    [InlineData("mlx")]
    [InlineData("dense")]
    public async Task AFolderIsWholeOrAsItWas(string container, params string[] more)
    {
        Skip();
        using var folder = new TemporaryFolder();
        string run = await ExportTests.RunWithBranches(folder, 3, 12), output = folder.File("out");
        if (more.Length == 0 && container != "dense") Directory.Delete(Path.Combine(run, "adapter"), recursive: true);
        using ICheckpoint model = CheckpointOpener.Open(run);
        var source = new ExportSource(model);
        IExporter exporter = Exporters.Find(container)!;
        var options = new ExportOptions { Output = output, ShardSize = 1 << 20, Overwrite = true };
        string[] before = Directory.GetFileSystemEntries(folder.Path);
        foreach (string file in Shared.Concat(more))
        {
            Fails(file);
            Assert.Equal(before, Directory.GetFileSystemEntries(folder.Path));
        }

        // Over another model, whose every byte stays.
        Exporters.Run(Exporters.Find("compressed-tensors")!, source, options, null, TestContext.Current.CancellationToken);
        SortedDictionary<string, string> earlier = Lrq.Hashes(output);
        before = Directory.GetFileSystemEntries(folder.Path);
        foreach (string file in Shared.Concat(more))
        {
            Fails(file);
            Assert.Equal(earlier, Lrq.Hashes(output));
            Assert.Equal(before, Directory.GetFileSystemEntries(folder.Path));
        }

        // And with room it is written.
        Exporters.Run(exporter, source, options, null, TestContext.Current.CancellationToken);
        CliResult verified = await Lrq.Run("verify", output, "--against", run);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);

        void Fails(string file)
        {
            string[]? blocked = null;
            IOException failure = Assert.ThrowsAny<IOException>(() =>
                Exporters.Run(exporter, source, options, (_, _) => blocked ??= Block($"{output}.partial", file, ["", .. Aside]), TestContext.Current.CancellationToken));
            Named(failure.Message, blocked!);
        }
    }

    [Theory]
    [InlineData("model.gguf")]
    [InlineData("model.lora.gguf.staged")]
    public async Task AGgufFileAndItsAdapterAreWholeOrAsTheyWere(string file)
    {
        Skip();
        using var folder = new TemporaryFolder();
        string run = await ExportTests.RunWithBranches(folder, 3, 12), output = folder.File("model.gguf");
        async Task Fails(params string[] left)
        {
            string[] blocked = Block(folder.Path, file, Aside);
            CliResult result = await Lrq.Run("export", run, "--to", "gguf", "--out", output, "--overwrite");
            Assert.Equal(1, result.Code);
            Named(result.Error, blocked);
            Assert.Equal(left, Directory.GetFiles(folder.Path).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal));
        }

        await Fails();
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "gguf", "--embedding", "q8_0", "--out", output)).Code);
        SortedDictionary<string, string> earlier = Lrq.Hashes(folder.Path);
        await Fails("model.gguf", "model.lora.gguf");
        Assert.Equal(earlier, Lrq.Hashes(folder.Path));
    }

    [Theory]
    [InlineData("model.safetensors")]
    [InlineData(".lrq/side/tokenizer.json")]
    [InlineData("config.json")]
    [InlineData("report.json")]
    [InlineData(".lrq/blocks/block-00002.safetensors")]
    [InlineData(".lrq/blocks/block-00002.json")]
    public async Task ARunGoesOnToTheSameBytesWhenThereIsRoomAgain(string file)
    {
        Skip();
        using var folder = new TemporaryFolder();
        string whole = folder.File("whole"), output = folder.File("out");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(whole, "--bits", "4"))).Code);
        string[] command = Lrq.Rounding(output, "--bits", "4");
        Assert.Equal(0, (await Lrq.Run([.. command, "--blocks", "2"])).Code);
        string[] blocked = Block(output, file, file.Contains("side", StringComparison.Ordinal) ? [""] : Aside);
        CliResult failed = await Lrq.Run(command);
        Assert.Equal(1, failed.Code);
        Named(failed.Error, blocked);
        string[] left = [.. Directory.EnumerateFiles(output, "*", SearchOption.AllDirectories).Select(path => Path.GetRelativePath(output, path))];
        Assert.DoesNotContain(left, path => Aside.Any(end => path.EndsWith(end, StringComparison.Ordinal)));
        Assert.DoesNotContain("report.json", left);
        CliResult rest = await Lrq.Run(command);
        Assert.True(rest.Code == 0, rest.Error);
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(output));
    }

    private static void Skip() => Assert.SkipUnless(File.Exists(Full), $"There is no {Full} here.");

    /// <summary>Makes a file of a folder take no byte, under each of its names.</summary>
    private static string[] Block(string folder, string file, string[] ends)
    {
        if (file == NextShard)
        {
            string first = Path.GetFileName(Assert.Single(Directory.GetFiles(folder)));
            file = first[..first.LastIndexOf('.')].Replace("00001-of", "00002-of", StringComparison.Ordinal);
        }
        string[] links = [.. ends.Select(end => Path.Combine(folder, file + end))];
        Directory.CreateDirectory(Path.GetDirectoryName(links[0])!);
        foreach (string link in links) File.CreateSymbolicLink(link, Full);
        return links;
    }

    // The error names one of the links, which is gone; the others were never written to.
    private static void Named(string error, string[] links)
    {
        Assert.Contains("No space left on device", error, StringComparison.Ordinal);
        string link = Assert.Single(links, path => error.Contains($"{path}'", StringComparison.Ordinal));
        Assert.False(Path.Exists(link), $"{link} is left");
        foreach (string other in links.Where(Path.Exists)) File.Delete(other);
    }
}
