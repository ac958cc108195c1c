using System.Diagnostics;
using System.Runtime.InteropServices;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>The program as one self-contained file, published from a copy of the sources so that nobody's build is disturbed.</summary>
public class PublishTests
{
    [Fact]
    public void OneFileRunsTheDemoByItself()
    {
        using var folder = new TemporaryFolder();
        string copy = folder.File("source"), output = folder.File("published");
        foreach (string name in new[] { "src", "models", ".editorconfig", "Directory.Build.props", "Directory.Packages.props", "global.json" }) CopyTree(Path.Combine(TestData.RepositoryRoot, name), Path.Combine(copy, name));
        string runtime = RuntimeInformation.RuntimeIdentifier;
        (int code, string log) = Start("dotnet", copy,
            "publish", "src/LowRankQuant.Cli", "-c", "Release", "-r", runtime, "--self-contained", "-p:PublishSingleFile=true", "-o", output, "--nologo", "-v", "quiet", "-nodeReuse:false", "-p:RunAnalyzers=false");
        // Without the network the runtime that goes into the file is not there.
        Assert.SkipWhen(code != 0 && (log.Contains("NU1301", StringComparison.Ordinal) || log.Contains("NU1101", StringComparison.Ordinal)), $"The runtime pack of {runtime} cannot be had: {log}");
        Assert.True(code == 0, log);
        string program = Path.Combine(output, OperatingSystem.IsWindows() ? "lrq.exe" : "lrq");
        Assert.True(File.Exists(program));
        Assert.Empty(Directory.EnumerateFiles(output, "*.dll"));
        (code, log) = Start(program, folder.Path, "inspect", "demo", "--json");
        Assert.True(code == 0, log);
        Assert.Contains("\"layers\":4", log, StringComparison.Ordinal);
    }

    private static void CopyTree(string from, string to)
    {
        if (File.Exists(from))
        {
            Directory.CreateDirectory(Path.GetDirectoryName(to)!);
            File.Copy(from, to);
            return;
        }
        if (Path.GetFileName(from) is "bin" or "obj") return;
        foreach (string entry in Directory.EnumerateFileSystemEntries(from)) CopyTree(entry, Path.Combine(to, Path.GetFileName(entry)));
    }

    private static (int Code, string Output) Start(string program, string folder, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true, WorkingDirectory = folder };
        // Variables of the build that runs this test would steer the one it starts.
        foreach (string name in start.Environment.Keys.Where(key => key.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase)).ToArray()) start.Environment.Remove(name);
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + error.Result);
    }
}
