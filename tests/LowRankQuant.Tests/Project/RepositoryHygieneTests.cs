using System.ComponentModel;
using System.Diagnostics;
using System.Text;

namespace LowRankQuant.Tests.Project;

/// <summary>Only text is tracked, except the demo model; nothing that a build or a run makes.</summary>
public class RepositoryHygieneTests
{
    private const string Demo = "models/demo/";
    private const long LargestText = 1 << 20;

    private static readonly string[] MadeFolders = ["bin", "obj", "out", "artifacts", "TestResults", "node_modules", "__pycache__", ".vs", ".idea"];

    [Fact]
    public void NoBinaryFilesAreTrackedOutsideTheDemo()
    {
        List<string> binaries = [];
        foreach (string path in TrackedFiles())
        {
            string full = Path.Combine(TestData.RepositoryRoot, path);
            // A file may be deleted and still be in the index.
            if (!path.StartsWith(Demo, StringComparison.Ordinal) && File.Exists(full) && IsBinary(File.ReadAllBytes(full))) binaries.Add(path);
        }
        Assert.Empty(binaries);
    }

    [Fact]
    public void NoLargeFilesAreTrackedOutsideTheDemo()
    {
        List<string> large = [];
        foreach (string path in TrackedFiles())
        {
            FileInfo file = new(Path.Combine(TestData.RepositoryRoot, path));
            if (!path.StartsWith(Demo, StringComparison.Ordinal) && file.Exists && file.Length > LargestText) large.Add(path);
        }
        Assert.Empty(large);
    }

    [Fact]
    public void NothingThatABuildMakesIsTracked() =>
        Assert.DoesNotContain(TrackedFiles(), path => path.Split('/')[..^1].Intersect(MadeFolders).Any());

    [Theory]
    [InlineData(true, new byte[] { 0x4D, 0x5A, 0x00, 0x01 })]
    [InlineData(true, new byte[] { 0x1F, 0x8B, 0x08 })]
    [InlineData(false, new byte[] { 0xE2, 0x82, 0xAC, 0x0A })]
    [InlineData(false, new byte[0])]
    public void BinaryIsWhatIsNotTextInUtf8(bool binary, byte[] content) => Assert.Equal(binary, IsBinary(content));

    private static bool IsBinary(ReadOnlySpan<byte> content) => content.Contains((byte)0) || !System.Text.Unicode.Utf8.IsValid(content);

    private static string[] TrackedFiles()
    {
        ProcessStartInfo start = new("git", ["ls-files", "-z"])
        {
            WorkingDirectory = TestData.RepositoryRoot,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
        };
        Process? git = null;
        try
        {
            git = Process.Start(start);
        }
        catch (Win32Exception)
        {
            Assert.Skip("git is not installed.");
        }
        using (git)
        {
            Task<string> errors = git!.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            string output = git.StandardOutput.ReadToEnd();
            git.WaitForExit();
            Assert.SkipUnless(git.ExitCode == 0, $"git cannot list this folder (a source archive?): {errors.Result.Trim()}");
            string[] files = output.Split('\0', StringSplitOptions.RemoveEmptyEntries);
            Assert.NotEmpty(files);
            return files;
        }
    }
}
