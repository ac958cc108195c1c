@echo off
rem Builds the command line program when a source is newer than the last build, and runs it with the arguments given.
setlocal
set "root=%~dp0"
set "program=%root%artifacts\cli\lrq.dll"
set "stamp=%root%artifacts\cli.stamp"
where dotnet >nul 2>nul
if errorlevel 1 (
    echo lrq: the .NET 10 SDK is missing: 'dotnet' is not on the PATH. Get it from https://dotnet.microsoft.com/download 1>&2
    exit /b 2
)
set "LRQ_ROOT=%root%"
rem Sources newer than the stamp, of which the time is that of the start of the last build.
powershell -NoProfile -Command "$r=$env:LRQ_ROOT; $s=Join-Path $r 'artifacts\cli.stamp'; if (-not (Test-Path (Join-Path $r 'artifacts\cli\lrq.dll')) -or -not (Test-Path $s)) { exit 1 }; $t=(Get-Item $s).LastWriteTimeUtc; $n=Get-ChildItem -Recurse -File (Join-Path $r 'src'),(Join-Path $r 'models\demo') | Where-Object { $_.FullName -notmatch '\\(bin|obj)\\' -and $_.LastWriteTimeUtc -gt $t } | Select-Object -First 1; $p=Get-Item (Join-Path $r 'Directory.*.props'),(Join-Path $r 'global.json') | Where-Object { $_.LastWriteTimeUtc -gt $t }; if ($n -or $p) { exit 1 } else { exit 0 }"
if not errorlevel 1 goto run
dotnet --list-sdks 2>nul | findstr /r "^1[0-9]\." >nul
if errorlevel 1 (
    echo lrq: the .NET 10 SDK is missing: 'dotnet' is there, an SDK of version 10 or later is not. Get it from https://dotnet.microsoft.com/download 1>&2
    exit /b 2
)
if not exist "%root%artifacts" mkdir "%root%artifacts"
rem One build at a time: a folder can be made by one process only.
:lock
mkdir "%root%artifacts\cli.lock" 2>nul
if errorlevel 1 (
    timeout /t 1 /nobreak >nul 2>nul
    goto lock
)
type nul > "%stamp%.new"
pushd "%root%"
dotnet build src\LowRankQuant.Cli -c Release -o artifacts\cli --nologo -v quiet -nodeReuse:false > artifacts\cli.log 2>&1 <nul
set "status=%errorlevel%"
popd
rmdir "%root%artifacts\cli.lock"
if not "%status%"=="0" (
    echo lrq: the build failed: 1>&2
    type "%root%artifacts\cli.log" 1>&2
    exit /b 1
)
move /y "%stamp%.new" "%stamp%" >nul
:run
dotnet "%program%" %*
exit /b %errorlevel%
